"""LAMMPS text dumps.

Sections begin with ITEM:. Atoms are put in the order of their id, so that an index means the same
atom in every frame. Positions come from x y z, xu yu zu, xs ys zs or xsu ysu zsu; elements from an
`element` column, else from `types`. Without ITEM: UNITS lengths are angstrom; ITEM: TIME counts
only with known units. Box conventions: https://docs.lammps.org/Howto_triclinic.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import Floats, in_cells
from stream.sources.columns import LabelReader, read_table
from stream.sources.frames import FrameChunk, joined
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
_POSITIONS = (("x y z", False), ("xu yu zu", False), ("xs ys zs", True), ("xsu ysu zsu", True))


@dataclass(slots=True)
class Header:
    """What the sections before the atoms say; box and origin in the unit of the file."""

    columns: list[str]
    box: Floats
    cell: Floats
    origin: Floats
    pbc: NDArray[np.bool_]
    coordinates: tuple[str, bool]
    length_angstrom: float
    time_fs: float


class LammpsFormat:
    """LAMMPS text dumps."""

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        self._symbols = SymbolTable(types, lenient=lenient)
        self._elements = LabelReader(self._symbols.__getitem__)

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
        """Read frames with the same columns, each one's atoms in the order of their id."""
        headers = [_header(frame.head) for frame in frames]
        columns = headers[0].columns
        if any(header.columns != columns for header in headers):
            return None
        sizes = [frame.n_atoms for frame in frames]
        text = b"".join([frame.body for frame in frames])
        values, labels = read_table(text, sum(sizes), _plan(tuple(columns)))
        numbers = self._elements(labels[:, 0])
        positions = _positions(values, headers, sizes)
        if "id" in columns:
            order = _order(values[:, 0 if columns.index("id") < _first(columns) else 3], sizes)
            positions, numbers = positions[order], numbers[order]
        return joined(
            sizes,
            numbers,
            positions,
            [header.cell for header in headers],
            [header.pbc for header in headers],
            [header.time_fs for header in headers],
        )

    def parse(self, frame: RawFrame) -> FrameChunk:
        """Read one frame, or say what is wrong with it."""
        try:
            chunk = self.parse_many([frame])
        except SameId:
            raise Malformed("two atoms have the same id", frame.body_line) from None
        except ValueError:
            columns = _header(frame.head).columns
            rows = table_of(frame, len(columns))
            for name, width in (("id", 1), (_coordinates(columns)[0], 3)):
                if name in columns:
                    first = columns.index(name)
                    floats_of(frame, rows, slice(first, first + width))
            raise Malformed("the columns cannot be read", frame.body_line) from None
        if chunk is None:
            raise AssertionError("one frame has one set of columns")
        return chunk


class SameId(ValueError):
    """Two atoms of a frame have the same id."""


@lru_cache(maxsize=16)
def _plan(columns: tuple[str, ...]) -> bytes:
    """Return the columns as `read_table` takes them: id, x, y, z are numbers."""
    if "element" not in columns and "type" not in columns:
        raise UnknownSymbol("?", "dump the column element, or type together with --types")
    kinds = bytearray(b"-" * len(columns))
    first = _first(columns)
    kinds[first : first + 3] = b"fff"
    if "id" in columns:
        kinds[columns.index("id")] = ord("f")
    kinds[columns.index("element" if "element" in columns else "type")] = ord("s")
    return bytes(kinds)


def _first(columns: Sequence[str]) -> int:
    return columns.index(_coordinates(columns)[0])


def _order(ids: Floats, sizes: list[int]) -> NDArray[np.intp]:
    """Return the places of the atoms, each frame's in the order of their ids."""
    if not (np.abs(ids) < 2**53).all() or (ids != np.floor(ids)).any():
        raise ValueError("an id that is not an integer")
    if len(set(sizes)) == 1:
        tables = [ids.reshape(len(sizes), -1)]
    else:
        tables = [part[None] for part in np.split(ids, np.cumsum(sizes)[:-1])]
    orders = [_ranked(table) for table in tables]
    starts = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    order: NDArray[np.intp] = np.concatenate([order.reshape(-1) for order in orders]) + starts
    return order


def _ranked(ids: Floats) -> NDArray[np.intp]:
    order = np.argsort(ids, axis=1, kind="stable")
    if (np.diff(np.take_along_axis(ids, order, axis=1), axis=1) == 0).any():
        raise SameId
    return order


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
    box, origin, pbc = _box(title, tuple(bounds))
    cell = box if length == 1.0 else box * length
    time = _time(sections["TIME"][1][0]) * time_unit if "TIME" in sections else np.nan
    columns = sections["ATOMS"][0].split()
    return Header(columns, box, cell, origin, pbc, _coordinates(columns), length, time)


def _coordinates(columns: Sequence[str]) -> tuple[str, bool]:
    for names, scaled in _POSITIONS:
        name = names.split()[0]
        first = columns.index(name) if name in columns else len(columns)
        if list(columns[first : first + 3]) == names.split():
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


def _positions(values: Floats, headers: list[Header], sizes: list[int]) -> Floats:
    """Return positions in angstrom of the columns id (if before), x, y, z, id (if behind)."""
    columns = headers[0].columns
    first = 1 if "id" in columns and columns.index("id") < _first(columns) else 0
    positions: Floats = values[:, first : first + 3]
    if headers[0].coordinates[1]:
        cells, origins = [h.box for h in headers], [h.origin for h in headers]
        positions = in_cells(positions, cells, sizes, origins)
    lengths = [header.length_angstrom for header in headers]
    if set(lengths) == {1.0}:
        return positions
    with np.errstate(all="ignore"):  # a frame that is not finite is passed on as it is
        positions *= np.repeat(lengths, sizes)[:, None]
    return positions
