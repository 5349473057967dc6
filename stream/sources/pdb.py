"""PDB, one model a frame; or frames parted by END.

https://www.wwpdb.org/documentation/file-format-content/format33/v3.3.html
A CRYST1 holds for its model and those that follow, until there is another; cells of 1 angstrom
stand for none. Which element an atom is, is left to chemfiles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import PERIODIC, cell_of
from stream.sources.columns import Floats
from stream.sources.fixed_columns import (
    Bytes,
    FrameElements,
    numbers_in,
    numbers_line_by_line,
)
from stream.sources.frames import FrameChunk, joined
from stream.sources.lines import LineReader, Malformed, NeedMore, NoMoreFrames, RawFrame

_FIRST, _WIDTH, _LINE = 30, 8, 80
_POSITIONS = np.arange(_FIRST, _FIRST + 3 * _WIDTH)
_NAMING = np.array([*range(12, 26), 76, 77])  # names, residue, element
_WORDS = (b"ATOM  ", b"HETATM")
_ROWS = re.compile(rb"^(?:ATOM  |HETATM).*\n", re.MULTILINE)


class PdbFormat:
    """PDB; the elements are those of the columns 77-78, else of the names."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        del types  # of LAMMPS
        self._elements = None if lenient else FrameElements("PDB")
        self._crystal = b""

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take what leads up to END or ENDMDL; the last frame of a file needs neither."""
        while True:
            line = lines.line
            text = self._take(lines)
            if _ROWS.search(text) or b"MODEL" in text[: text.find(b"END")]:
                break
        found = text.find(b"CRYST1")
        if found >= 0:
            self._crystal = text[found : text.find(b"\n", found)]
            if not isinstance(_cell(self._crystal), tuple):
                raise Malformed("CRYST1 cannot be read", text.count(b"\n", 0, found))
        n_lines = lines.line - line  # nearly all of them atoms
        return RawFrame(index, line, n_lines, self._crystal, text, 0, is_free=False)

    def _take(self, lines: LineReader) -> bytes:
        try:
            return lines.take_through(b"END")
        except NeedMore:
            rest = lines.take_rest()
        if _ROWS.search(rest):
            if b"MODEL " in rest:
                raise NeedMore
            return rest
        raise NoMoreFrames

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frames whose atoms' lines reach behind the positions."""
        codes, starts = _atom_lines(frames)
        bounds = np.cumsum([0] + [len(frame.body) for frame in frames])
        parts = np.searchsorted(starts, bounds)
        values = numbers_in(codes[starts[:, None] + _POSITIONS], 0, _WIDTH, 3)
        naming = codes[starts[:, None] + _NAMING]
        numbers = [
            self._numbers(frame, naming[first:end])
            for frame, first, end in zip(frames, parts[:-1], parts[1:], strict=True)
        ]
        return _chunk(frames, np.diff(parts).tolist(), np.concatenate(numbers), values)

    def parse(self, frame: RawFrame) -> FrameChunk:
        """Read one frame line by line."""
        rows = _ROWS.findall(frame.body)
        try:
            values = numbers_line_by_line(b"".join(rows), len(rows), _FIRST, _WIDTH)
        except Malformed as error:
            raise Malformed(str(error), _line_in(frame, error.line)) from None
        naming = np.zeros((len(rows), 0), dtype=np.uint8)
        return _chunk([frame], [len(rows)], self._numbers(frame, naming), values)

    def _numbers(self, frame: RawFrame, naming: Bytes) -> NDArray[np.uint8]:
        if self._elements is None:
            return np.zeros(len(naming), dtype=np.uint8)
        return self._elements.of(
            naming.tobytes(), lambda: b"".join([*_ROWS.findall(frame.body), b"END\n"])
        )


def _atom_lines(frames: list[RawFrame]) -> tuple[Bytes, NDArray[np.intp]]:
    """Return all text of frames as codes, and where the lines of atoms begin in it."""
    text = b"".join([frame.body for frame in frames])
    codes = np.frombuffer(text + b" " * _LINE, dtype=np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    words = codes[starts[:, None] + np.arange(6)]
    is_atom = np.logical_or.reduce([(words == list(word)).all(axis=1) for word in _WORDS])
    if (ends - starts)[is_atom].min(initial=_LINE) < _FIRST + 3 * _WIDTH:
        raise ValueError("a line that ends before the positions")
    return codes, starts[is_atom]


def _line_in(frame: RawFrame, row: int) -> int:
    """Return the line of an atom, counted from the first line of its frame."""
    starts = [found.start() for found in _ROWS.finditer(frame.body)]
    return frame.body.count(b"\n", 0, starts[row])


def _chunk(
    frames: list[RawFrame], sizes: list[int], numbers: NDArray[np.uint8], values: Floats
) -> FrameChunk:
    boxes = [_cell(frame.head) or (None, None) for frame in frames]
    times = [np.nan] * len(frames)
    return joined(sizes, numbers, values, [b[0] for b in boxes], [b[1] for b in boxes], times)


@lru_cache(maxsize=64)
def _cell(line: bytes) -> tuple[Floats | None, NDArray[np.bool_] | None] | None:
    """Read a CRYST1 record; None where it cannot be read."""
    if not line:
        return None, None
    try:
        a, b, c = (float(line[at : at + 9]) for at in (6, 15, 24))
        degrees = [float(line[at : at + 7]) for at in (33, 40, 47)]
    except ValueError:
        return None
    if max(a, b, c) <= 1.0:
        return None, None
    cell = cell_of((a, b, c), degrees)
    return None if cell is None else (cell, PERIODIC)
