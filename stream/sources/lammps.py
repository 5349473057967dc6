"""LAMMPS text dumps.

Sections begin with ITEM:. Atoms are put in the order of their id, so that an index means the same
atom in every frame. Positions come from x y z, xu yu zu, xs ys zs or xsu ysu zsu; elements from an
`element` column, else from `types`. Without ITEM: UNITS lengths are angstrom; ITEM: TIME counts
only with known units. Box conventions: https://docs.lammps.org/Howto_triclinic.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream.sources.frames import FrameChunk, ParsedFrame, chunk_of
from stream.sources.lines import LineReader, Malformed, RawFrame, atom_count, shown
from stream.sources.symbols import SymbolTable, UnknownSymbol
from stream.sources.text import floats_of, table_of

# angstrom and femtoseconds in one unit of length and time
_UNITS = {
    "real": (1.0, 1.0),
    "metal": (1.0, 1e3),
    "electron": (0.529177210903, 1.0),  # bohr, CODATA 2018
    "nano": (10.0, 1e6),
}
_POSITIONS = (("x", False), ("xu", False), ("xs", True), ("xsu", True))


@dataclass(slots=True)
class Header:
    """What the sections before the atoms say."""

    columns: list[str]
    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    coordinates: tuple[str, bool]
    length_angstrom: float
    time_fs: float


class LammpsFormat:
    """LAMMPS text dumps."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        self._symbols = SymbolTable(types, lenient=lenient)
        self._ids: list[str] = []
        self._id_order: NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take the sections up to ITEM: ATOMS, then a line for each atom."""
        line = lines.line
        sections: dict[str, tuple[str, list[bytes]]] = {}
        try:
            while "ATOMS" not in sections:
                name, rest = _title(lines.take(1))
                sections[name] = (rest, [lines.take(1) for _ in range(_LENGTHS.get(name, 1))])
            n_atoms = atom_count(sections.get("NUMBER OF ATOMS", ("", [b"none"]))[1][0])
        except Malformed as error:
            raise Malformed(str(error), lines.line - line - 1) from None
        body_line = lines.line - line
        return RawFrame(index, line, n_atoms, sections, lines.take(n_atoms), body_line)

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read frame by frame; one fault leaves the search for it to `parse`."""
        return chunk_of([self._plain(frame) for frame in frames])

    def parse(self, frame: RawFrame) -> ParsedFrame:
        """Read one frame, its atoms in the order of their id."""
        try:
            return self._plain(frame)
        except ValueError:
            header = _header(frame.head)
            rows = table_of(frame, len(header.columns))
            for name in ("id", header.coordinates[0]):
                if name in header.columns:
                    first = header.columns.index(name)
                    floats_of(frame, rows, slice(first, first + (1 if name == "id" else 3)))
            raise Malformed("the columns cannot be read", frame.body_line) from None

    def _plain(self, frame: RawFrame) -> ParsedFrame:
        """Read a frame whose lines have the declared columns; ValueError where they do not."""
        header = _header(frame.head)
        n_columns = len(header.columns)
        tokens = frame.body.decode("latin-1").split()
        if len(tokens) != frame.n_atoms * n_columns:
            raise ValueError("lines of different lengths")
        numbers = self._numbers(tokens, header.columns)
        positions = _positions(tokens, header)
        if "id" in header.columns:
            order = self._order(tokens[header.columns.index("id") :: n_columns], frame.body_line)
            positions, numbers = positions[order], numbers[order]
        return ParsedFrame(
            numbers=numbers,
            positions=positions,
            cell=header.cell * header.length_angstrom,
            pbc=header.pbc,
            time_fs=header.time_fs,
        )

    def _order(self, ids: list[str], body_line: int) -> NDArray[np.intp]:
        """Return the order of the ids; often that of the frame before."""
        if ids != self._ids:
            values = np.array([int(i) for i in ids], dtype=np.int64)
            order = np.argsort(values, kind="stable")
            if (np.diff(values[order]) == 0).any():
                raise Malformed("two atoms have the same id", body_line)
            self._ids, self._id_order = ids, order
        return self._id_order

    def _numbers(self, tokens: list[str], columns: list[str]) -> NDArray[np.uint8]:
        if "element" not in columns and "type" not in columns:
            raise UnknownSymbol("?", "dump the column element, or type together with --types")
        kind = columns.index("element" if "element" in columns else "type")
        symbols = tokens[kind :: len(columns)]
        return np.fromiter(map(self._symbols.__getitem__, symbols), np.uint8, len(symbols))


_LENGTHS = {"BOX BOUNDS": 3, "ATOMS": 0}
_TITLES = ("TIMESTEP", "UNITS", "TIME", "NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS")


@lru_cache(maxsize=64)
def _title(line: bytes) -> tuple[str, str]:
    """Split a section's first line to its name and what follows."""
    text = line.decode("latin-1").strip()
    if text.startswith("ITEM:"):
        text = text[5:].strip()
        for title in _TITLES:
            if text == title or text.startswith(title + " "):
                return title, text[len(title) :].strip()
    raise Malformed(f"expected a section ITEM: ..., found '{shown(line)}'")


def _header(sections: dict[str, tuple[str, list[bytes]]]) -> Header:
    length, time_unit = 1.0, np.nan
    if "UNITS" in sections:
        style = sections["UNITS"][1][0].decode("latin-1").strip()
        if style not in _UNITS:
            raise Malformed(f"units {style} are not supported; dump in one of {', '.join(_UNITS)}")
        length, time_unit = _UNITS[style]
    title, bounds = sections.get("BOX BOUNDS", ("", [b"0 0"] * 3))
    cell, origin, pbc = _box(title, tuple(bounds))
    time = _time(sections["TIME"][1][0]) * time_unit if "TIME" in sections else np.nan
    columns = sections["ATOMS"][0].split()
    return Header(columns, cell, origin, pbc, _coordinates(columns), length, time)


def _coordinates(columns: list[str]) -> tuple[str, bool]:
    for name, scaled in _POSITIONS:
        first = columns.index(name) if name in columns else len(columns)
        if first + 3 <= len(columns):
            return name, scaled
    raise Malformed("no positions: dump the columns x y z")


def _time(line: bytes) -> float:
    try:
        return float(line)
    except ValueError:
        raise Malformed("ITEM: TIME cannot be read") from None


@lru_cache(maxsize=16)
def _box(
    title: str, lines: tuple[bytes, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return cell vectors in rows, origin and pbc of a restricted triclinic or orthogonal box."""
    try:
        bounds = np.array([[float(x) for x in line.split()] for line in lines])
    except ValueError:
        raise Malformed("ITEM: BOX BOUNDS cannot be read") from None
    if bounds.shape not in ((3, 2), (3, 3)) or "abc" in title:
        raise Malformed("ITEM: BOX BOUNDS must hold lo hi, or lo hi tilt, for three directions")
    xy, xz, yz = bounds[:, 2] if bounds.shape == (3, 3) else (0.0, 0.0, 0.0)
    low = bounds[:, 0] - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = bounds[:, 1] - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    cell = np.diag(high - low)
    cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
    flags = [flag == "pp" for flag in title.split() if len(flag) == 2 and flag[0] in "pfsm"]
    return cell, low, np.array(flags if len(flags) == 3 else [False] * 3)


def _positions(tokens: list[str], header: Header) -> NDArray[np.float64]:
    name, scaled = header.coordinates
    first, n_columns = header.columns.index(name), len(header.columns)
    values = np.empty((len(tokens) // n_columns, 3))
    for axis in range(3):
        values[:, axis] = list(map(float, tokens[first + axis :: n_columns]))
    with np.errstate(all="ignore"):  # a frame that is not finite is passed on as it is
        if scaled:
            values = header.origin + values @ header.cell
        return values * header.length_angstrom
