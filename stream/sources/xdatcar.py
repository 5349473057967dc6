"""VASP's XDATCAR: one header, or one before every frame, and fractional coordinates.

Header: title, scale, three lattice vectors, symbols, counts (VASP 5 and later). A negative scale is
the volume of the cell. https://www.vasp.at/wiki/index.php/XDATCAR
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import PERIODIC, in_cells
from stream.sources.columns import read_table
from stream.sources.frames import FrameChunk, ParsedFrame, chunk_of, joined
from stream.sources.lines import MAX_ATOMS, LineReader, Malformed, RawFrame, shown
from stream.sources.symbols import SymbolTable, UnknownSymbol
from stream.sources.text import floats_of, table_of


@dataclass(frozen=True, slots=True)
class Header:
    """What the lines before a frame say: their text, the cell (3, 3) in angstrom, the elements."""

    text: bytes
    cell: NDArray[np.float64]
    numbers: NDArray[np.uint8]


class XdatcarFormat:
    """XDATCAR with a constant or a changing cell."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        self._symbols = SymbolTable(types, lenient=lenient)
        self._header: Header | None = None

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take a header where there is one, the line Direct configuration=, and the atoms."""
        line = lines.line
        header = self._header
        first = lines.take(1)
        if not _is_title(first):
            header = self._read_header(lines.take(6))
            first = lines.take(1)
        if header is None or not _is_title(first):
            raise Malformed(
                f"expected 'Direct configuration=', found '{shown(first)}'",
                lines.line - line - 1,
            )
        body_line = lines.line - line
        body = lines.take(len(header.numbers))
        self._header = header
        return RawFrame(index, line, len(header.numbers), header, body, body_line)

    def _read_header(self, text: bytes) -> Header:
        """Read the six lines below the title; often they are those of the frame before."""
        if self._header is not None and self._header.text == text:
            return self._header
        rows = [line.split() for line in text.decode("latin-1").split("\n")]
        try:
            scale = float(rows[0][0])
            cell = np.array([[float(x) for x in row] for row in rows[1:4]]).reshape(3, 3)
            counts = [int(count) for count in rows[5]]
        except (ValueError, IndexError):
            raise Malformed(
                "the header cannot be read (title, scale, cell, symbols, counts)"
            ) from None
        if not counts or len(rows[4]) != len(counts) or rows[4][0].isdigit():
            raise Malformed("the header names no elements; write them in its line 6", 5)
        if min(counts) < 0 or sum(counts) > MAX_ATOMS:
            raise Malformed("impossible numbers of atoms", 6)
        numbers = np.repeat(np.array(self._kinds(rows[4]), dtype=np.uint8), counts)
        return Header(text, _scaled(cell, scale), numbers)

    def _kinds(self, symbols: list[str]) -> list[int]:
        try:
            return [self._symbols[symbol] for symbol in symbols]
        except UnknownSymbol as error:
            raise Malformed(str(error), 5) from None

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frames whose lines all begin with three numbers."""
        headers: list[Header] = [frame.head for frame in frames]
        sizes = [frame.n_atoms for frame in frames]
        text = b"".join([frame.body for frame in frames])
        fractional, _ = read_table(text, sum(sizes), b"fff")
        cells = [header.cell for header in headers]
        numbers = np.concatenate([header.numbers for header in headers])
        positions = in_cells(fractional, cells, sizes)
        times = [np.nan] * len(frames)
        return joined(sizes, numbers, positions, cells, [PERIODIC] * len(frames), times)

    def parse(self, frame: RawFrame) -> FrameChunk:
        """Read one frame; the number of columns and each number are checked."""
        fractional = floats_of(frame, table_of(frame, 3), slice(0, 3))
        cell: NDArray[np.float64] = frame.head.cell
        parsed = ParsedFrame(
            numbers=frame.head.numbers,
            positions=in_cells(fractional, [cell], [frame.n_atoms]),
            cell=cell,
            pbc=PERIODIC,
        )
        return chunk_of([parsed])


def _scaled(cell: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Apply the scale; a negative one is the volume."""
    with np.errstate(all="ignore"):
        if scale < 0.0:
            volume = abs(float(np.linalg.det(cell)))
            if not volume > 0.0:
                raise Malformed("the cell has no volume", 2)
            scale = (-scale / volume) ** (1 / 3)
        scaled = cell * scale
    if not np.isfinite(scaled).all():
        raise Malformed("the cell is not finite", 2)
    return scaled


def _is_title(line: bytes) -> bool:
    return b"configuration" in line and line.lstrip()[:6].lower() == b"direct"
