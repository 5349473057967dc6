"""VASP's XDATCAR: one header, or one before every frame, and fractional coordinates.

Header: title, scale, three lattice vectors, symbols, counts (VASP 5 and later). A negative scale is
the volume of the cell. https://www.vasp.at/wiki/index.php/XDATCAR
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.sources.frames import FrameChunk, ParsedFrame, chunk_of
from stream.sources.lines import MAX_ATOMS, LineReader, Malformed, RawFrame
from stream.sources.symbols import SymbolTable, UnknownSymbol
from stream.sources.text import floats_of, table_of


@dataclass(frozen=True, slots=True)
class Header:
    """Cell (3, 3) in angstrom and atomic numbers."""

    cell: NDArray[np.float64]
    numbers: NDArray[np.uint8]


class XdatcarFormat:
    """XDATCAR with a constant or a changing cell."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        self._symbols = SymbolTable(types, lenient=lenient)
        self._header: Header | None = None

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take a header where there is one, the line Direct configuration=, and the atoms."""
        start, line = lines.cursor, lines.line
        header = self._header
        first = lines.take(1)
        if not _is_title(first):
            header = self._read_header(lines, start)
            first = lines.take(1)
        if header is None or not _is_title(first):
            shown = first[:40].decode("latin-1").strip()
            raise Malformed(
                f"expected 'Direct configuration=', found '{shown}'", lines.cursor - start - 1
            )
        body_line = lines.cursor - start
        body = lines.take(len(header.numbers))
        self._header = header
        return RawFrame(index, line, len(header.numbers), header, body, body_line)

    def _read_header(self, lines: LineReader, start: int) -> Header:
        rows = [lines.take(1).decode("latin-1").split() for _ in range(6)]
        at = lines.cursor - start
        try:
            scale = float(rows[0][0])
            cell = np.array([[float(x) for x in row] for row in rows[1:4]]).reshape(3, 3)
            counts = [int(count) for count in rows[5]]
        except (ValueError, IndexError):
            raise Malformed(
                "the header cannot be read (title, scale, cell, symbols, counts)", 0
            ) from None
        if len(rows[4]) != len(counts) or rows[4][0].isdigit():
            raise Malformed("the header names no elements; write them in its line 6", at - 2)
        if min(counts) < 0 or sum(counts) > MAX_ATOMS:
            raise Malformed("impossible numbers of atoms", at - 1)
        try:
            kinds = [self._symbols[symbol] for symbol in rows[4]]
        except UnknownSymbol as error:
            raise Malformed(str(error), at - 2) from None
        if scale < 0:
            scale = (-scale / abs(np.linalg.det(cell))) ** (1 / 3)
        return Header(cell * scale, np.repeat(np.array(kinds, dtype=np.uint8), counts))

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frames whose lines all have three numbers."""
        return chunk_of([self._plain(frame) for frame in frames])

    def parse(self, frame: RawFrame) -> ParsedFrame:
        """Read one frame; the number of columns and each number are checked."""
        return _frame(frame.head, floats_of(frame, table_of(frame, 3), slice(0, 3)))

    def _plain(self, frame: RawFrame) -> ParsedFrame:
        tokens = frame.body.decode("latin-1").split()
        values = np.fromiter(map(float, tokens), np.float64, len(tokens))
        return _frame(frame.head, values.reshape(frame.n_atoms, 3))


def _frame(header: Header, fractional: NDArray[np.float64]) -> ParsedFrame:
    return ParsedFrame(
        numbers=header.numbers,
        positions=fractional @ header.cell,
        cell=header.cell,
        pbc=np.ones(3, dtype=np.bool_),
    )


def _is_title(line: bytes) -> bool:
    return b"configuration" in line and line.lstrip()[:6].lower() == b"direct"
