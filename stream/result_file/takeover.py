"""How a writer takes over what is there of a run."""

from __future__ import annotations

import os
from pathlib import Path

from stream.result_file.draft import Draft
from stream.result_file.segment import name_of
from stream.result_file.survey import Survey, main_path, marker_name
from stream.storage import sync_folder
from xas.errors import Fenced, RunRefused


def refuse(found: Survey, folder: Path, run: str, epoch: int) -> None:
    """Raise where the run is over, or the epoch is not new."""
    if found.main is not None and found.contents is not None and found.contents.sealed:
        raise RunRefused(
            f"run {run} is finished with {found.main.end} frames in {main_path(folder, run)}; "
            "take another run name or output file"
        )
    if epoch <= found.epoch:
        raise Fenced(
            f"epoch {epoch} is not new: a writer of run {run} with epoch {found.epoch} "
            f"has been in {folder}"
        )


def claim(place: Path, epoch: int) -> None:
    """Leave a durable mark that fences writers of earlier epochs."""
    place.mkdir(parents=True, exist_ok=True)
    try:
        (place / marker_name(epoch)).touch(exist_ok=False)
    except FileExistsError as error:
        raise Fenced(f"another writer has just taken epoch {epoch} of {place}") from error
    sync_folder(place)
    sync_folder(place.parent)


def adopt(found: Survey, main: Path, place: Path, epoch: int) -> bool:
    """Make a self-contained main file that reaches further than the segments the first of them."""
    if found.main is None or (found.chosen and found.chosen[-1].end >= found.main.end):
        return False
    if found.main.end == 0:
        return False
    target = place / name_of(epoch, 0, 0, found.main.end)
    try:
        os.link(main, target)
    except OSError:  # a file system without hard links
        with Draft(place, target) as draft:
            draft.truncate(found.main.size)
            draft.place_range(0, main, 0, found.main.size)
            draft.publish()
    sync_folder(place)
    return True


def clear(found: Survey) -> None:
    """Remove torn files; put aside, under another name, what lies beyond a gap."""
    for path in found.torn:
        path.unlink(missing_ok=True)
    for path in found.stranded:
        path.rename(path.with_suffix(".stranded"))
