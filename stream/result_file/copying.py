"""A copy of a run, also of one that grows: one file that needs no other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from stream.result_file.draft import Draft, storage
from stream.result_file.layout import Summary
from stream.result_file.main_file import write_finished
from stream.result_file.snapshot import Snapshot
from xas.errors import BadResultFile, OutputExists


def copy_run(path: Path, target: Path, *, overwrite: bool = False) -> Path:
    """Copy what the main file shows at this moment into one self-contained file; its path.

    ``target`` may be a folder. It appears whole and durable, or not at all. The copy of a run that
    still grows is one of an interrupted run: it opens, it can be resumed, and it names its origin.
    The writer is not disturbed: what it replaces meanwhile is held open. BadResultFile where
    segments are missing, OutputExists where something is in the way.
    """
    if target.is_dir():
        target = target / path.name
    if target.exists() and (not overwrite or target.samefile(path)):
        raise OutputExists(f"{target} exists: take another name, or --overwrite")
    if not target.parent.is_dir():
        raise BadResultFile(f"{target.parent} is not a folder: make it first")
    with Snapshot.take(path) as found:
        if found.broken:
            name, why = found.broken[0]
            raise BadResultFile(f"{path}: {name} {why}; edgestream runs repair {path}")
        with storage(target), Draft(target.parent, target) as draft:
            _fill(draft, found)
            draft.publish()
    return target


def _fill(draft: Draft, found: Snapshot) -> None:
    if found.contents.kind == "finished":
        draft.truncate(found.whole.size)
        draft.place_range(0, found.whole.path, 0, found.whole.size)
        return
    header = found.contents.header
    whole = replace(
        found.whole,
        one_site_each=all(part.segment.one_site_each for part in found.parts),
    )
    origin = {"copied_from": os.fspath(found.path.resolve())}
    summary = Summary(
        header=replace(header, extra={**header.extra, **origin}),
        models=found.contents.models,
        average=found.average,
        end_time=found.path.stat().st_mtime,
        interrupted=True,
    )
    write_finished(draft, whole, [part.segment for part in found.parts], summary)
