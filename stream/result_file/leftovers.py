"""Segments of finished runs whose writers did not live to remove them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from stream.result_file.survey import is_newer_than, segments_path, survey
from stream.storage import storage


def sweep_finished(
    folder: Path, run: str, *, grace_s: float, clock: Callable[[], float] = time.time
) -> bool:
    """Remove the segments of a finished run that its own writer did not live to remove.

    Returns whether none are left. Does nothing while the run grows or is being resumed.
    """
    found, place = survey(folder, run), segments_path(folder, run)
    main = found.main
    if main is None or is_newer_than(place, main.epoch):
        return False
    if clock() - main.path.stat().st_mtime < grace_s:
        return not place.exists()
    with storage(place):
        for path in [s.path for s in found.chosen if s.end <= main.end] + found.spare + found.torn:
            path.unlink(missing_ok=True)
    remove_empty(place)
    return not place.exists()


def remove_empty(place: Path) -> None:
    """Remove the folder of segments with its markers, unless something else is in it."""
    if not place.is_dir():
        return
    left = list(place.iterdir())
    if all(path.suffix == ".epoch" for path in left):
        with contextlib.suppress(OSError):
            for path in left:
                path.unlink(missing_ok=True)
            place.rmdir()
