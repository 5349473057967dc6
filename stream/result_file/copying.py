"""A copy of a run, also of one that grows: one file that needs no other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from stream.result_file.draft import Draft
from stream.result_file.layout import Summary
from stream.result_file.main_file import write_finished
from stream.result_file.snapshot import Snapshot
from stream.storage import storage
from xas.errors import BadResultFile, OutputExists

BESIDE = (".dead", ".answers")  # dead letters and the answers to them, which only grow


def copy_run(path: Path, target: Path, *, overwrite: bool = False) -> Path:
    """Copy what the main file shows at this moment into one self-contained file; its path.

    Dead letters and their answers go with it, as files beside it that are there before it is.

    ``target`` may be a folder. It appears whole and durable, or not at all. The copy of a run that
    still grows is one of an interrupted run: it opens, it can be resumed, and it names its origin.
    The writer is not disturbed: what it replaces meanwhile is held open. BadResultFile where
    segments are missing, OutputExists where something is in the way.
    """
    if target.is_dir():
        target = target / path.name
    for there in (target, *(target.with_suffix(suffix) for suffix in BESIDE)):
        if there.exists() and (not overwrite or target.resolve() == path.resolve()):
            raise OutputExists(f"{there} exists: take another name, or --overwrite")
    if not target.parent.is_dir():
        raise BadResultFile(f"{target.parent} is not a folder: make it first")
    with Snapshot.take(path) as found:
        if found.broken:
            name, why = found.broken[0]
            raise BadResultFile(f"{path}: {name} {why}; edgestream runs repair {path}")
        for suffix in BESIDE:
            _copy_beside(path.with_suffix(suffix), target.with_suffix(suffix))
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


def _copy_beside(source: Path, target: Path) -> None:
    """What is in a file that only grows; its end may be cut, which its readers know."""
    if not source.exists():
        target.unlink(missing_ok=True)
        return
    with storage(target), Draft(target.parent, target) as draft:
        size = source.stat().st_size
        draft.truncate(size)
        if size:
            draft.place_range(0, source, 0, size)
        draft.publish()
