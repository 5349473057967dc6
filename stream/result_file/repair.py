"""A new file from what is left of a run whose files something else cut or changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from stream.result_file.rows import Rows, bundled
from stream.result_file.run_folder import RunFolder
from stream.result_file.salvage import Remains, absent, look, salvage, with_models
from stream.result_file.segment import parse_name
from stream.result_file.snapshot import NOT_OURS, Part
from stream.result_file.stretches import Stretch
from stream.result_file.survey import highest_epoch, segments_path
from xas.errors import BadResultFile, OutputExists

Told = Callable[[int, int], None]  # frames done, frames in all


def _to_nobody(done: int, total: int) -> None:
    del done, total


_ABSENT_FRAMES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What ``repair`` saved and what is lost; ranges are [first, end).

    lost              frames of which there is no spectrum any more: absent rows, status 0
    lost_structures   frames whose structure is lost
    unreadable        files of the run that say nothing any more
    """

    file: str
    frames: int
    saved: int
    lost: list[tuple[int, int]] = field(default_factory=list)
    lost_structures: list[tuple[int, int]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def repair(path: Path, target: Path | None = None, told: Told = _to_nobody) -> Repair:
    """Salvage all rows whose checksums hold into a new file beside; what is there stays untouched.

    Looks into the main file, cut or not, and into all segments beside it, also those put aside.
    The new file, ``NAME.repaired.h5`` if not said otherwise, has as many frames as there were.
    BadResultFile where nothing says what it holds, OutputExists where the new file is in the way.
    """
    target = target or path.with_name(path.name.removesuffix(".h5") + ".repaired.h5")
    _require_free(target)
    with contextlib.ExitStack() as opened:
        remains = look(_files(path), opened)
        if remains is None:
            raise BadResultFile(f"{path}: nothing is left that says what it holds")
        return _Repairing(remains, target, told).finish()


def _require_free(target: Path) -> None:
    if target.suffix != ".h5":
        raise BadResultFile(f"{target}: a result file is named NAME.h5")
    if target.exists() or segments_path(target.parent, target.stem).exists():
        raise OutputExists(f"{target} exists: move it away, or name another with -o")


def _files(path: Path) -> list[Path]:
    """The main file, then segments, newest first."""
    place = segments_path(path.parent, path.name.removesuffix(".h5"))
    names = [p for p in place.glob("e*") if parse_name(p.with_suffix(".h5").name)]
    whole = [p for p in names if p.suffix in (".h5", ".stranded")]
    main = [path] if path.is_file() else []
    if not main and not whole:
        raise BadResultFile(f"{path}: no such file, and no segments beside it")
    return main + sorted(whole, reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of a file, by the frames it has."""

    first: int
    end: int
    rank: int
    part: Part
    stretch: Stretch


class _Repairing:
    def __init__(self, remains: Remains, target: Path, told: Told) -> None:
        self.remains, self.told, self.target = remains, told, target
        self.unreadable = [f"{name}: {why}" for name, why in remains.lost]
        self.models = {part.name: contents.models for part, contents in remains.parts}
        self.pieces = self._find_pieces()
        self.lost: list[tuple[int, int]] = []
        self.lost_structures: list[tuple[int, int]] = []
        self.folder = self._new_folder()

    def _find_pieces(self) -> list[_Piece]:
        """All stretches, by first frame; those of the better file first."""
        found = []
        for rank, (part, _) in enumerate(self.remains.parts):
            try:
                found += [_piece(part, rank, stretch) for stretch in part.stretches()]
            except NOT_OURS as error:
                self.unreadable.append(f"{part.name}: {error}")
        return sorted(found, key=lambda piece: (piece.first, piece.rank))

    def _new_folder(self) -> RunFolder:
        header = self.remains.contents.header
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return RunFolder.recover(
            self.target.parent,
            self.target.stem,
            header=replace(header, extra={**header.extra, "repaired": when}),
            epoch=highest_epoch(self.target.parent, self.target.stem) + 1,
            grace_s=0.0,
        )

    def finish(self) -> Repair:
        """Write the file."""
        for rows in bundled(self._rows()):
            self.folder.append(rows)
            self.folder.refresh()
            self.told(rows.end_index, self.remains.end)
        contents = self.remains.contents
        path = self.folder.finish(
            sealed=contents.sealed, interrupted=not contents.sealed, dropped=contents.dropped
        )
        gone = sum(end - first for first, end in self.lost)
        return Repair(
            file=str(path),
            frames=self.folder.n_frames,
            saved=self.folder.n_frames - gone,
            lost=self.lost,
            lost_structures=self.lost_structures,
            unreadable=self.unreadable,
        )

    def _rows(self) -> Iterator[Rows]:
        """Rows of all frames, in order."""
        at, next_piece = 0, 0
        while at < self.remains.end:
            while next_piece < len(self.pieces) and self.pieces[next_piece].end <= at:
                next_piece += 1
            here = [p for p in self._from(next_piece, at) if p.first <= at < p.end]
            if here:
                rows = self._best(here, at)
            else:
                later = [p.first for p in self.pieces[next_piece:] if p.first > at][:1]
                rows = self._nothing(at, min([*later, self.remains.end, at + _ABSENT_FRAMES]))
            yield rows
            at = rows.end_index

    def _from(self, number: int, at: int) -> Iterator[_Piece]:
        for piece in self.pieces[number:]:
            if piece.first > at:
                return
            yield piece

    def _best(self, pieces: list[_Piece], at: int) -> Rows:
        """The rows from frame ``at`` on, of the file that lost least of them."""
        best: tuple[int, Rows, set[str]] | None = None
        for piece in sorted(pieces, key=lambda p: p.rank):
            rows, lost = salvage(piece.part, piece.stretch)
            rows = with_models(rows, self.models[piece.part.name], self.folder.add_model)
            badness = len(lost) + ("spectra" in lost)
            if best is None or badness < best[0]:
                best = badness, rows[at - rows.first_index :], lost
            if not lost:
                break
        assert best is not None
        _, rows, lost = best
        if "spectra" in lost:
            _note(self.lost, at, rows.end_index)
        if "structures" in lost:
            _note(self.lost_structures, at, rows.end_index)
        return rows

    def _nothing(self, at: int, end: int) -> Rows:
        _note(self.lost, at, end)
        if self.folder.header.keep_structures:
            _note(self.lost_structures, at, end)
        return absent(at, end - at, self.folder.header)


def _piece(part: Part, rank: int, stretch: Stretch) -> _Piece:
    low, high = stretch.rows["frame"]
    first: int = part.segment.first
    return _Piece(first=first + low, end=first + high, rank=rank, part=part, stretch=stretch)


def _note(ranges: list[tuple[int, int]], first: int, end: int) -> None:
    if ranges and ranges[-1][1] == first:
        ranges[-1] = (ranges[-1][0], end)
    else:
        ranges.append((first, end))
