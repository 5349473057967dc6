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

from stream.sources.columns import LabelReader, read_table
from stream.sources.frames import FrameChunk, ParsedFrame, chunk_of, joined
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
_WORDS = {_TIME: b"time", _PROPERTIES: b"properties", _LATTICE: b"lattice", _PBC: b"pbc"}
MAX_COLUMNS = 10_000


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


@dataclass(frozen=True, slots=True)
class Comment:
    """What a comment says: columns, cell (None where not periodic), pbc, time (NaN: none)."""

    columns: Columns
    cell: NDArray[np.float64] | None
    pbc: NDArray[np.bool_] | None
    time_fs: float


class XyzFormat:
    """Plain and extended XYZ."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        self._symbols = SymbolTable(types, lenient=lenient)
        self._elements = {
            False: LabelReader(self._symbols.__getitem__),
            True: LabelReader(_atomic_number),
        }

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take the count, the comment and that many lines; blank lines before are skipped."""
        while not (first := lines.take(1)).strip():
            pass
        line = lines.line - 1
        n_atoms = atom_count(first)
        comment = lines.take(1)
        return RawFrame(index, line, n_atoms, comment, lines.take(n_atoms), 2)

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frames that declare the same columns."""
        comments = [_comment(frame.head) for frame in frames]
        columns = comments[0].columns
        if any(comment.columns != columns for comment in comments):
            return None
        sizes = [frame.n_atoms for frame in frames]
        text = b"".join([frame.body for frame in frames])
        positions, labels = read_table(text, sum(sizes), _plan(columns))
        return joined(
            sizes,
            self._elements[columns.numeric](labels[:, 0]),
            positions,
            [comment.cell for comment in comments],
            [comment.pbc for comment in comments],
            [comment.time_fs for comment in comments],
        )

    def parse(self, frame: RawFrame) -> FrameChunk:
        """Read one frame line by line."""
        comment = _comment(frame.head)
        columns = comment.columns
        rows = table_of(frame, max(4, columns.total or 4))
        positions = floats_of(frame, rows, slice(columns.position, columns.position + 3))
        parsed = ParsedFrame(
            numbers=self._species(frame, [row[columns.species] for row in rows], columns.numeric),
            positions=positions,
            cell=comment.cell,
            pbc=comment.pbc,
            time_fs=comment.time_fs,
        )
        return chunk_of([parsed])

    def _species(self, frame: RawFrame, species: list[str], numeric: bool) -> NDArray[np.uint8]:
        numbers = np.zeros(len(species), dtype=np.uint8)
        for row, symbol in enumerate(species):
            try:
                numbers[row] = _atomic_number(symbol) if numeric else self._symbols[symbol]
            except UnknownSymbol as error:
                raise Malformed(str(error), frame.body_line + row) from None
        return numbers


def _atomic_number(token: str) -> int:
    number = int(token) if re.fullmatch("[0-9]{1,3}", token) else -1
    if not 0 <= number <= 118:
        raise UnknownSymbol(token, "atomic numbers lie between 0 and 118")
    return number


@lru_cache(maxsize=64)
def _plan(columns: Columns) -> bytes:
    """Return the columns as `read_table` takes them."""
    kinds = bytearray(b"-" * max(4, columns.total or 4))
    kinds[columns.position : columns.position + 3] = b"fff"
    kinds[columns.species] = ord("s")
    return bytes(kinds)


def _comment(comment: bytes) -> Comment:
    properties = _found(_PROPERTIES, comment)
    columns = PLAIN if properties is None else _declared(properties[1])
    cell, pbc = _cell(comment)
    return Comment(columns, cell, pbc, time_of(comment))


def _found(pattern: re.Pattern[bytes], comment: bytes) -> re.Match[bytes] | None:
    """Search a comment from the first place where a pattern's word stands: fast where it is not."""
    start = comment.lower().find(_WORDS[pattern])
    return None if start < 0 else pattern.search(comment, start)


def time_of(comment: bytes) -> float:
    """The time in a comment, fs; NaN where it has none."""
    found = _found(_TIME, comment)
    if found is None:
        return np.nan
    try:
        value = float(found[2])
    except ValueError:
        return np.nan
    unit = (found[1] or found[3] or b"fs").lower()
    return value * 1000.0 if unit == b"ps" else value


@lru_cache(maxsize=64)
def _declared(properties: bytes) -> Columns:
    """Read a Properties value: name:kind:count triples."""
    parts = properties.decode("latin-1").split(":")
    places: dict[str, int] = {}
    widths: dict[str, int] = {}
    column = 0
    for name, count in zip(parts[0::3], parts[2::3], strict=False):
        if not re.fullmatch("[0-9]{1,9}", count):
            raise Malformed(f"Properties={properties.decode('latin-1')} cannot be read", 1)
        places[name.lower()], widths[name.lower()] = column, int(count)
        column += int(count)
    species = next((n for n in ("species", "element", "symbol", "z", "numbers") if n in places), "")
    position = next((n for n in ("pos", "positions") if n in places), "")
    if not species or not position:
        raise Malformed("Properties names no species or no pos column", 1)
    if widths[species] != 1 or widths[position] != 3 or column > MAX_COLUMNS:
        raise Malformed("Properties must say species:S:1 and pos:R:3", 1)
    return Columns(places[species], places[position], column, species in ("z", "numbers"))


def _cell(comment: bytes) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Read Lattice and pbc; a Lattice without pbc is periodic in all directions."""
    lattice = _found(_LATTICE, comment)
    if lattice is None:
        return None, None
    pbc = _found(_PBC, comment)
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
