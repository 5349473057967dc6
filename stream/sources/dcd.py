"""The coordinates of DCD files: float32 at fixed places, so that nothing has to be searched.

Layout: Fortran records, as CHARMM, NAMD, LAMMPS and VMD write them
(https://www.ks.uiuc.edu/Research/vmd/plugins/molfile/dcdplugin.html).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import cell_of
from stream.sources.lines import MAX_ATOMS

_CONTROL_BYTES = 84
_CELL_BYTES = 48


@dataclass(frozen=True, slots=True)
class DcdLayout:
    """Where things are in a DCD file without fixed atoms.

    order     "<" or ">": the order of bytes
    start     the first byte of the first frame
    has_cell  48 bytes of cell lead every frame
    has_fourth  a fourth coordinate follows the three
    n_declared  frames that the header promises
    n_fixed   atoms whose positions are written once: such files are not read here
    """

    order: str
    n_atoms: int
    start: int
    has_cell: bool
    has_fourth: bool
    n_declared: int
    n_fixed: int

    @property
    def axis_bytes(self) -> int:
        """One coordinate of all atoms, with the lengths before and behind it."""
        return 4 * self.n_atoms + 8

    @property
    def cell_bytes(self) -> int:
        """The cell with the lengths before and behind it; 0 without."""
        return _CELL_BYTES + 8 if self.has_cell else 0

    @property
    def frame_bytes(self) -> int:
        """One frame."""
        return self.cell_bytes + (3 + self.has_fourth) * self.axis_bytes


class DcdFile:
    """Coordinates and raw cells of a DCD file, frame by frame."""

    def __init__(self, path: Path, layout: DcdLayout) -> None:
        self._file = path.open("rb", buffering=0)
        self._layout = layout
        self._kind = np.dtype(f"{layout.order}f4")
        self._length = struct.pack(f"{layout.order}i", 4 * layout.n_atoms)

    def __len__(self) -> int:
        """How many frames are complete."""
        size = os.fstat(self._file.fileno()).st_size
        return max(0, size - self._layout.start) // self._layout.frame_bytes

    @property
    def n_atoms(self) -> int:
        """Atoms of every frame."""
        return self._layout.n_atoms

    @property
    def n_declared(self) -> int:
        """How many frames the header promises."""
        return self._layout.n_declared

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open a file; None for one with fixed atoms, ValueError for what is not a DCD file."""
        with path.open("rb") as file:
            layout = _layout(file.read(1 << 16))
        if layout is None:
            raise ValueError("not a DCD file with records of 32-bit length")
        return None if layout.n_fixed else cls(path, layout)

    def read(self, index: int) -> tuple[bytes, NDArray[np.float32]]:
        """Return the cell's bytes and the positions (n_atoms, 3); ValueError where they are not."""
        layout = self._layout
        data = os.pread(
            self._file.fileno(), layout.frame_bytes, layout.start + index * layout.frame_bytes
        )
        if len(data) < layout.frame_bytes:
            raise EOFError("the file ends inside this frame")
        cell, coordinates = data[4 : max(4, layout.cell_bytes - 4)], data[layout.cell_bytes :]
        for axis in range(3):
            first, last = axis * layout.axis_bytes, (axis + 1) * layout.axis_bytes
            if not coordinates[first:last].startswith(self._length):
                raise ValueError("a record of another length")
        table = np.frombuffer(coordinates, self._kind, 3 * layout.axis_bytes // 4)
        return cell, table.reshape(3, -1)[:, 1:-1].T

    def cell(self, data: bytes) -> NDArray[np.float64] | None:
        """Return the cell of its bytes: a, gamma, b, beta, alpha, c, angles as cosines or degrees.

        A cell of zeros is none; ValueError for what is no cell. As VMD and chemfiles read it.
        """
        values = np.frombuffer(data, f"{self._layout.order}f8")
        if not values.any() or not values[[0, 2, 5]].any():
            return None
        angles = values[[4, 3, 1]]
        degrees = 90.0 - np.degrees(np.arcsin(angles)) if (np.abs(angles) <= 1.0).all() else angles
        cell = cell_of(values[[0, 2, 5]].tolist(), degrees.tolist())
        if cell is None:
            raise ValueError("a cell that is none")
        return cell

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _layout(head: bytes) -> DcdLayout | None:
    """Read the header's records: control, titles, number of atoms."""
    order = "<" if head[:4] == struct.pack("<i", _CONTROL_BYTES) else ">"
    try:
        control = _record(head, 0, order)
        titles = _record(head, len(control) + 8, order)
        start = len(control) + len(titles) + 16
        n_atoms = struct.unpack(f"{order}i", _record(head, start, order))[0]
    except struct.error:
        return None
    if len(control) != _CONTROL_BYTES or control[:4] != b"CORD" or not 1 <= n_atoms <= MAX_ATOMS:
        return None
    settings = struct.unpack(f"{order}20i", control[4:])
    is_charmm = settings[19] != 0
    return DcdLayout(
        order=order,
        n_atoms=n_atoms,
        start=start + 12,
        has_cell=is_charmm and settings[10] != 0,
        has_fourth=is_charmm and settings[11] != 0,
        n_declared=settings[0],
        n_fixed=settings[8],
    )


def _record(head: bytes, start: int, order: str) -> bytes:
    """Return a record's content; struct.error where its two lengths do not agree."""
    (length,) = struct.unpack_from(f"{order}i", head, start)
    if length < 0 or struct.unpack_from(f"{order}i", head, start + 4 + length) != (length,):
        raise struct.error("not a record")
    return head[start + 4 : start + 4 + length]
