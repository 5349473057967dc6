"""GRO, the text format of GROMACS: positions in nm, in columns as wide as their decimals ask for.

https://manual.gromacs.org/current/reference-manual/file-formats.html#gro
Which element a name means is left to chemfiles; times are not written in a form to rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import PERIODIC
from stream.sources.columns import Floats
from stream.sources.fixed_columns import (
    FrameElements,
    numbers_in,
    numbers_line_by_line,
    rectangle,
)
from stream.sources.frames import FrameChunk, joined
from stream.sources.lines import LineReader, Malformed, RawFrame, atom_count

_ANGSTROM = 10.0  # in one nanometre
_FIRST = 20  # behind the residue, the names and the number of the atom


class GroFormat:
    """GRO; the elements are those of the names."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        del types  # of LAMMPS
        self._elements = None if lenient else FrameElements("GRO")

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take the title, the number of atoms, a line for each, and the box."""
        line = lines.line
        lines.take(1)  # the title
        count = lines.take(1)
        try:
            n_atoms = atom_count(count)
        except Malformed as error:
            raise Malformed(str(error), 1) from None
        body = lines.take(n_atoms)
        box = lines.take(1)
        cell = _cell(box)
        if cell is None:
            raise Malformed("the box must hold 3 or 9 numbers", 2 + n_atoms)
        return RawFrame(index, line, n_atoms, box, body, 2, is_free=False)

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frames with lines of one length."""
        sizes = [frame.n_atoms for frame in frames]
        text = b"".join([frame.body for frame in frames])
        width = _width(text)
        rows = rectangle(text, sum(sizes))
        values = numbers_in(rows, _FIRST, width, 3)
        parts = np.split(rows, np.cumsum(sizes)[:-1])
        names = [part[:, 5:15].tobytes() for part in parts]
        numbers = [self._numbers(frame, own) for frame, own in zip(frames, names, strict=True)]
        return _chunk(frames, np.concatenate(numbers), values)

    def parse(self, frame: RawFrame) -> FrameChunk:
        """Read one frame line by line."""
        try:
            width = _width(frame.body)
            values = numbers_line_by_line(frame.body, frame.n_atoms, _FIRST, width)
        except Malformed as error:
            raise Malformed(str(error), frame.body_line + error.line) from None
        return _chunk([frame], self._numbers(frame, b""), values)

    def _numbers(self, frame: RawFrame, names: bytes) -> NDArray[np.uint8]:
        if self._elements is None:
            return np.zeros(frame.n_atoms, dtype=np.uint8)
        return self._elements.of(names, lambda: _names_only(frame))


def _names_only(frame: RawFrame) -> bytes:
    """Return a frame for chemfiles, which reads positions of three decimals only."""
    rows = [line[:_FIRST].ljust(_FIRST) for line in frame.body.split(b"\n")[: frame.n_atoms]]
    place = b"   0.000" * 3 + b"\n"
    return b"".join([b"names\n%d\n" % len(rows), *(row + place for row in rows), b"0 0 0\n"])


def _chunk(frames: list[RawFrame], numbers: NDArray[np.uint8], values: Floats) -> FrameChunk:
    cells = [_cell(frame.head) for frame in frames]
    given = [cell if cell is not None and cell.any() else None for cell in cells]
    pbc = [None if cell is None else PERIODIC for cell in given]
    sizes = [frame.n_atoms for frame in frames]
    with np.errstate(all="ignore"):  # a frame that is not finite is passed on as it is
        positions = values * _ANGSTROM
    return joined(sizes, numbers, positions, given, pbc, [np.nan] * len(frames))


def _width(body: bytes) -> int:
    """Return the width of a position's column: the distance between two decimal points."""
    line = body[: body.find(b"\n")]
    first = line.find(b".", _FIRST)
    second = line.find(b".", first + 1)
    return second - first if 0 < first < second else 8


@lru_cache(maxsize=64)
def _cell(line: bytes) -> Floats | None:
    """Read the box, angstrom, vectors in rows: v1x v2y v3z v1y v1z v2x v2z v3x v3y."""
    try:
        box = np.array([float(word) for word in line.split()]) * _ANGSTROM
    except ValueError:
        return None
    cell = np.diag(box[:3]) if len(box) in (3, 9) else None
    if cell is not None and len(box) == 9:
        cell[(0, 0, 1, 1, 2, 2), (1, 2, 0, 2, 0, 1)] = box[3:]
    return cell
