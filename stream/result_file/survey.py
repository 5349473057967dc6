"""What a folder holds of a run, after any kill.

Files appear whole or not at all, so leftovers are: ``*.tmp`` of a write that was cut short, parts
that a merged segment has replaced, and what a fenced writer wrote late. Rows are immutable and the
same in every file that has them; so the segments that reach furthest from frame 0, and among those
ways the fewest and newest, are the run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream.result_file.draft import SUFFIX
from stream.result_file.segment import Contents, Segment, parse_name, read_state
from xas.errors import BadResultFile

MARKER = ".epoch"

_EPOCH = re.compile(r"e(\d{6,})[-.]")
_NOT_OURS = (OSError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The state of a run on disk.

    chosen    segments that follow each other from frame 0
    main      the main file where it is self-contained
    contents  header and models of the newest file; None where there is none
    spare     other segments within the frames of chosen
    stranded  segments beyond a gap, or that do not open
    torn      leftovers of writes that were cut short
    """

    chosen: list[Segment] = field(default_factory=list)
    main: Segment | None = None
    contents: Contents | None = None
    spare: list[Path] = field(default_factory=list)
    stranded: list[Path] = field(default_factory=list)
    torn: list[Path] = field(default_factory=list)
    epoch: int = 0

    @property
    def n_frames(self) -> int:
        """Frames without a gap from 0: on disk, whatever else is lost."""
        return max([self.main.end if self.main else 0, *(s.end for s in self.chosen[-1:])])


def main_path(folder: Path, run: str) -> Path:
    """The file that people open."""
    return folder / f"{run}.h5"


def segments_path(folder: Path, run: str) -> Path:
    """The folder of segments beside it."""
    return folder / f"{run}.segments"


def marker_name(epoch: int) -> str:
    """A file that says that a writer of this epoch was here."""
    return f"e{epoch:06d}{MARKER}"


def highest_epoch(folder: Path, run: str) -> int:
    """The highest epoch that ever wrote this run here; 0 for none. Opens only the main file."""
    main = _read_main(main_path(folder, run))
    return max([*_epochs(_names(segments_path(folder, run))), main[0].epoch if main else 0])


def is_newer_than(segments: Path, epoch: int) -> bool:
    """Whether a writer of a later epoch has been in a folder of segments."""
    markers = [name for name in _names(segments) if name.endswith(MARKER)]
    return max(_epochs(markers), default=0) > epoch


def survey(folder: Path, run: str) -> Survey:
    """Look at everything there is of a run; changes nothing.

    BadResultFile where ``<run>.h5`` exists and is not ours.
    """
    main = _read_main(main_path(folder, run))
    finished = main[0] if main and main[1].kind == "finished" else None
    place = segments_path(folder, run)
    names = _names(place)
    opened: dict[Path, tuple[Segment, Contents]] = {}
    broken: list[Path] = []
    for name in names:
        if parse_name(name):
            try:
                opened[place / name] = read_state(place / name)
            except _NOT_OURS:
                broken.append(place / name)
    chosen = furthest([segment for segment, _ in opened.values()])
    kept = {segment.path for segment in chosen}
    reach = chosen[-1].end if chosen else 0
    others = [segment for segment, _ in opened.values() if segment.path not in kept]
    reach = max(reach, finished.end if finished else 0)
    newest = opened[chosen[-1].path] if chosen else main
    if main and finished and finished.end >= reach:
        newest = main
    return Survey(
        chosen=chosen,
        main=finished,
        contents=newest[1] if newest else None,
        spare=[segment.path for segment in others if segment.end <= reach],
        stranded=[segment.path for segment in others if segment.end > reach] + broken,
        torn=[place / name for name in names if name.endswith(SUFFIX)],
        epoch=max([*_epochs(names), main[0].epoch if main else 0]),
    )


def furthest(segments: Sequence[Segment]) -> list[Segment]:
    """The way from frame 0 that reaches furthest; among equals the shortest, then the newest."""
    ways: dict[tuple[int, int], tuple[int, int, int, Segment | None]] = {(0, 0): (0, 0, 0, None)}
    for segment in sorted(segments, key=lambda s: (s.first, s.end)):
        before = ways.get((segment.first, segment.first_atom))
        if before is None:
            continue
        way = (before[0] - 1, segment.epoch, segment.seq, segment)
        there = (segment.end, segment.end_atom)
        if there not in ways or way[:3] > ways[there][:3]:
            ways[there] = way
    return _walk_back(ways, max(ways))


def _walk_back(
    ways: dict[tuple[int, int], tuple[int, int, int, Segment | None]], end: tuple[int, int]
) -> list[Segment]:
    chosen: list[Segment] = []
    while (segment := ways[end][3]) is not None:
        chosen.append(segment)
        end = (segment.first, segment.first_atom)
    return chosen[::-1]


def _read_main(path: Path) -> tuple[Segment, Contents] | None:
    if not path.exists():
        return None
    try:
        return read_state(path)
    except _NOT_OURS as error:
        raise BadResultFile(
            f"{path} exists and is not a result file of edgestream; move it away"
        ) from error


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 (names only, on every commit)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _epochs(names: Sequence[str]) -> list[int]:
    return [int(match[1]) for match in map(_EPOCH.match, names) if match]
