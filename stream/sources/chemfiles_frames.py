"""Frames of binary files, and others, of which chemfiles reads what is not plain.

The library is imported where it is needed: that takes some tenths of a second.
"""

from __future__ import annotations

import ctypes
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import PERIODIC
from stream.sources.dcd import DcdFile
from stream.sources.frame_file import FrameFile, in_one_line, quietly
from stream.sources.frames import ParsedFrame
from stream.sources.gromacs import GromacsFile
from stream.sources.lines import Malformed
from xas.errors import BadTrajectory

_Cell = tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]


def open_frames(path: Path, name: str, resources: ExitStack) -> FrameFile:
    """Open a DCD, XTC, TRR, Amber NetCDF or PSF file; `resources` close what it needs."""
    suffix = path.suffix.lower()
    if suffix in (".xtc", ".trr"):
        file = GromacsFile(path)
        resources.callback(file.close)
        if len(file) == 0:
            raise BadTrajectory(f"{name}: cannot be read (no complete frame)")
        return _trr(file, name) if suffix == ".trr" else _xtc(file, name, resources)
    dcd = _dcd_file(path, name) if suffix == ".dcd" else None
    if dcd is None:
        frames = _Chemfiles(path, name, resources)
        return FrameFile(name, len(frames), quietly(frames.read))
    resources.callback(dcd.close)
    return _dcd(dcd, name)


def _dcd_file(path: Path, name: str) -> DcdFile | None:
    """Open a DCD file here: on a damaged header chemfiles may end the process."""
    try:
        return DcdFile.open(path)
    except ValueError as error:
        raise BadTrajectory(f"{name}: cannot be read ({error})") from None


def _trr(file: GromacsFile, name: str) -> FrameFile:
    return FrameFile(name, len(file) + file.is_cut, file.trr_frame, n_complete=len(file))


def _xtc(file: GromacsFile, name: str, resources: ExitStack) -> FrameFile:
    """Take times and boxes from the headers and leave the unpacking of positions to chemfiles."""
    packed = _Chemfiles(resources.enter_context(file.complete_frames()), name, resources)

    def read(index: int) -> ParsedFrame:
        return file.xtc_frame(index, packed.positions(index))

    return FrameFile(name, len(file) + file.is_cut, quietly(read), n_complete=len(file))


def _dcd(file: DcdFile, name: str) -> FrameFile:
    """Take coordinates from their places; most often the cell is that of the frame before."""
    numbers = np.zeros(file.n_atoms, dtype=np.uint8)  # for a topology to replace
    known: dict[bytes, NDArray[np.float64] | None] = {}

    def read(index: int) -> ParsedFrame:
        cell_bytes, positions = file.read(index)
        if cell_bytes not in known:
            known.clear()
            known[cell_bytes] = file.cell(cell_bytes)
        cell = known[cell_bytes]
        pbc = None if cell is None else PERIODIC
        return ParsedFrame(numbers=numbers, positions=positions, cell=cell, pbc=pbc)

    return FrameFile(name, max(len(file), file.n_declared), read, n_complete=len(file))


class _Chemfiles:
    """A trajectory that chemfiles has open."""

    def __init__(self, path: Path, name: str, resources: ExitStack) -> None:
        import chemfiles

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._trajectory: Any = chemfiles.Trajectory(str(path))
            self._n_frames = int(self._trajectory.nsteps)
        except chemfiles.ChemfilesError as error:
            raise BadTrajectory(f"{name}: cannot be read ({in_one_line(error)})") from None
        resources.callback(self._trajectory.close)
        self._error = chemfiles.ChemfilesError
        self._infinite = chemfiles.CellShape.Infinite
        self._numbers = np.zeros(0, dtype=np.uint8)
        self._frame: Any = chemfiles.Frame()
        self._library: Any = self._trajectory.ffi
        self._places = self._library.chfl_frame_positions.argtypes[1]._type_()
        self._count = ctypes.c_uint64()

    def __len__(self) -> int:
        return self._n_frames

    def read(self, index: int) -> ParsedFrame:
        """Read one frame; elements are looked up only where the number of atoms changes."""
        positions = self.positions(index)
        if len(self._numbers) != len(positions):
            self._numbers = _elements(self._frame.atoms)
        cell, pbc = self._cell(self._frame.cell)
        return ParsedFrame(numbers=self._numbers, positions=positions, cell=cell, pbc=pbc)

    def positions(self, index: int) -> NDArray[np.float64]:
        """Read positions only, (n_atoms, 3) float64, angstrom.

        Through the library's C interface: its Python objects cost three times the reading itself.
        """
        frame = self._frame.mut_ptr
        try:
            self._library.chfl_trajectory_read_step(self._trajectory.mut_ptr, index, frame)
            self._library.chfl_frame_positions(frame, self._places, self._count)
        except self._error as error:  # of chemfiles, which derives it from BaseException
            raise OSError(str(error)) from None
        copied = ctypes.string_at(self._places, 24 * self._count.value)
        return np.frombuffer(copied, np.float64).reshape(-1, 3)

    def _cell(self, cell: Any) -> _Cell:
        if cell.shape == self._infinite:
            return None, None
        return np.array(cell.matrix).T, np.ones(3, dtype=np.bool_)


def elements_of_text(text: bytes, kind: str) -> NDArray[np.uint8]:
    """Return the elements of the first frame of a text that chemfiles reads; Malformed."""
    import chemfiles

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trajectory: Any = chemfiles.MemoryTrajectory(text, "r", kind)
            try:
                return _elements(trajectory.read().atoms)
            finally:
                trajectory.close()
    except chemfiles.ChemfilesError as error:
        raise Malformed(f"chemfiles cannot read it ({in_one_line(error)})") from None


def _elements(atoms: Any) -> NDArray[np.uint8]:
    numbers = np.array([atom.atomic_number for atom in atoms], dtype=np.uint8)
    masses = np.array([atom.mass for atom in atoms], dtype=np.float64)
    return np.where(numbers > 0, numbers, numbers_from_masses(masses))


def numbers_from_masses(masses: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the element nearest in mass (u), as a PSF file needs it; 0 where none is near."""
    from ase.data import atomic_masses

    table = np.concatenate([[-1.0], atomic_masses[1:104]])
    nearest = np.abs(table - masses[:, None]).argmin(axis=1)
    near = np.abs(table[nearest] - masses) < 0.3
    return np.where(near, nearest, 0).astype(np.uint8)
