"""XYZ and extended XYZ.

The number of atoms, a comment, one line an atom. In extended XYZ the comment says which columns
hold what (Properties=species:S:1:pos:R:3:...), the cell (Lattice="ax ay az bx ..."), and pbc. A
time is taken from `time=`, `time_fs=` or `time_ps=` in any comment (without a unit: femtoseconds).
Extended XYZ as in https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream.sources.frames import FrameChunk, ParsedFrame, chunk_of
from stream.sources.lines import LineReader, Malformed, RawFrame, atom_count
from stream.sources.symbols import SymbolTable, UnknownSymbol
from stream.sources.text import floats_of, table_of

_TIME = re.compile(
    rb"(?<![\w.-])time(?:_(fs|ps))?\s*[=:]\s*[\"']?([-+]?[\d.]+(?:e[-+]?\d+)?)(?:\s*(fs|ps)\b)?",
    re.IGNORECASE,
)
_PROPERTIES = re.compile(rb"(?<!\w)Properties\s*=\s*[\"']?([^\s\"']+)", re.IGNORECASE)
_LATTICE = re.compile(rb"(?<!\w)Lattice\s*=\s*[\"'{\[]([^\"'}\]]*)", re.IGNORECASE)
_PBC = re.compile(rb"(?<!\w)pbc\s*=\s*(?:[\"'{\[]([^\"'}\]]*)|(\S+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the atoms' columns are.

    species   the column of the symbol or atomic number
    position  the first of the three columns of the position
    total     columns a line; None: not declared, four or more
    numeric   species are atomic numbers, not symbols
    """

    species: int
    position: int
    total: int | None
    numeric: bool


PLAIN = Columns(species=0, position=1, total=None, numeric=False)


class XyzFormat:
    """Plain and extended XYZ."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        self._symbols = SymbolTable(types, lenient=lenient)

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take the count, the comment and that many lines; blank lines before are skipped."""
        blank = 0
        while not (first := lines.take(1)).strip():
            blank += 1
        line = lines.line - 1
        n_atoms = atom_count(first)
        comment = lines.take(1)
        return RawFrame(index, line, n_atoms, comment, lines.take(n_atoms), 2)

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frames whose lines all have the same columns."""
        columns = _columns(frames[0].head)
        if columns.numeric or any(_columns(frame.head) != columns for frame in frames):
            return None
        n_atoms = sum(frame.n_atoms for frame in frames)
        tokens = b"".join([frame.body for frame in frames]).decode("latin-1").split()
        n_columns = len(tokens) // max(1, n_atoms)
        if n_columns < 4 or len(tokens) != n_atoms * n_columns:
            return None
        if columns.total not in (None, n_columns):
            return None
        symbols = tokens[columns.species :: n_columns]
        if not all(map(_is_label, set(symbols))):
            return None  # a number where a symbol should be: lines of different lengths
        numbers = np.fromiter(map(self._symbols.__getitem__, symbols), np.uint8, n_atoms)
        return _split(frames, numbers, _positions(tokens, columns, n_columns))

    def parse(self, frame: RawFrame) -> ParsedFrame:
        """Read one frame line by line."""
        columns = _columns(frame.head)
        rows = table_of(frame, max(4, columns.total or 4))
        positions = floats_of(frame, rows, slice(columns.position, columns.position + 3))
        cell, pbc = _cell(frame.head)
        return ParsedFrame(
            numbers=self._species(frame, [row[columns.species] for row in rows], columns.numeric),
            positions=positions,
            cell=cell,
            pbc=pbc,
            time_fs=time_of(frame.head),
        )

    def _species(self, frame: RawFrame, species: list[str], numeric: bool) -> NDArray[np.uint8]:
        numbers = np.zeros(len(species), dtype=np.uint8)
        for row, symbol in enumerate(species):
            try:
                numbers[row] = _atomic_number(symbol) if numeric else self._symbols[symbol]
            except UnknownSymbol as error:
                raise Malformed(str(error), frame.body_line + row) from None
        return numbers


def _atomic_number(token: str) -> int:
    number = int(token) if token.isdigit() else -1
    if not 0 <= number <= 118:
        raise UnknownSymbol(token, "atomic numbers lie between 0 and 118")
    return number


def _is_label(symbol: str) -> bool:
    return symbol[0].isalpha()


def _positions(tokens: list[str], columns: Columns, n_columns: int) -> NDArray[np.float64]:
    if n_columns == 4 and columns.position == 1:
        del tokens[0::4]
        flat = tokens
    else:
        n_atoms = len(tokens) // n_columns
        flat = [""] * (3 * n_atoms)
        for axis in range(3):
            flat[axis::3] = tokens[columns.position + axis :: n_columns]
    return np.fromiter(map(float, flat), np.float64, len(flat)).reshape(-1, 3)


def _split(
    frames: list[RawFrame], numbers: NDArray[np.uint8], positions: NDArray[np.float64]
) -> FrameChunk:
    parsed = []
    start = 0
    for frame in frames:
        end = start + frame.n_atoms
        cell, pbc = _cell(frame.head)
        parsed.append(
            ParsedFrame(
                numbers=numbers[start:end],
                positions=positions[start:end],
                cell=cell,
                pbc=pbc,
                time_fs=time_of(frame.head),
            )
        )
        start = end
    return chunk_of(parsed)


def time_of(comment: bytes) -> float:
    """The time in a comment, fs; NaN where it has none."""
    found = _TIME.search(comment)
    if found is None:
        return np.nan
    try:
        value = float(found[2])
    except ValueError:
        return np.nan
    unit = (found[1] or found[3] or b"fs").lower()
    return value * 1000.0 if unit == b"ps" else value


def _columns(comment: bytes) -> Columns:
    found = _PROPERTIES.search(comment)
    return PLAIN if found is None else _declared(found[1])


@lru_cache(maxsize=64)
def _declared(properties: bytes) -> Columns:
    """Read a Properties value: name:kind:count triples."""
    parts = properties.decode("latin-1").split(":")
    places: dict[str, int] = {}
    column = 0
    for name, count in zip(parts[0::3], parts[2::3], strict=False):
        if not count.isdigit():
            raise Malformed(f"Properties={properties.decode('latin-1')} cannot be read", 1)
        places[name.lower()] = column
        column += int(count)
    species = next((n for n in ("species", "element", "symbol", "z", "numbers") if n in places), "")
    position = next((n for n in ("pos", "positions") if n in places), "")
    if not species or not position:
        raise Malformed("Properties names no species or no pos column", 1)
    return Columns(places[species], places[position], column, species in ("z", "numbers"))


def _cell(comment: bytes) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Read Lattice and pbc; a Lattice without pbc is periodic in all directions."""
    lattice = _LATTICE.search(comment)
    if lattice is None:
        return None, None
    pbc = _PBC.search(comment)
    return _box(lattice[1], b"T" if pbc is None else pbc[1] or pbc[2] or b"")


@lru_cache(maxsize=64)
def _box(lattice: bytes, flags: bytes) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    try:
        cell = np.array([float(x) for x in lattice.replace(b",", b" ").split()])
    except ValueError:
        cell = np.zeros(0)
    if cell.size not in (3, 9):
        raise Malformed("Lattice must hold 9 numbers", 1)
    periodic = [flag[:1] in b"Tt1" for flag in flags.replace(b",", b" ").split()]
    if len(periodic) not in (1, 3):
        raise Malformed("pbc must hold 3 flags", 1)
    vectors = np.diag(cell) if cell.size == 3 else cell.reshape(3, 3)
    return vectors, np.broadcast_to(np.array(periodic, dtype=np.bool_), 3)
