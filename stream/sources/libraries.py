"""Formats that chemfiles or ASE read: binary trajectories, and whatever else ASE knows.

Both libraries are imported where they are needed: each takes some tenths of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.sources.frames import ParsedFrame, Selection
from stream.sources.xyz import time_of
from xas.errors import BadTrajectory

_PICOSECONDS = {".xtc", ".trr"}  # formats with a time, in ps


class FrameFile:
    """A file of frames at random access: how many there are, and each of them."""

    def __init__(
        self,
        name: str,
        n_frames: int,
        read: Callable[[int], ParsedFrame],
        close: Callable[[], None],
    ) -> None:
        self.name = name
        self.n_frames = n_frames
        self.close = close
        self._read = read

    def frames(self, selection: Selection) -> Iterator[ParsedFrame]:
        """Yield the selected frames; the first unreadable one raises BadTrajectory."""
        for index in selection.indices(self.n_frames):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    frame = self._read(index)
            except Exception as error:  # noqa: BLE001 - the libraries raise anything on bad bytes
                raise BadTrajectory(
                    f"{self.name} ends in the middle of frame {index}, or is damaged there"
                    f" ({_line(error)}): {index} complete frames were kept"
                ) from None
            yield frame


def open_chemfiles(path: Path, name: str, *, is_cut: bool = False) -> FrameFile:
    """Open a DCD, XTC, TRR, Amber NetCDF, PDB or GRO file.

    is_cut  an incomplete frame followed the last one: reading it raises BadTrajectory
    """
    import chemfiles

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trajectory = chemfiles.Trajectory(str(path))
        n_frames = int(trajectory.nsteps)
    except chemfiles.ChemfilesError as error:
        raise BadTrajectory(f"{name}: cannot be read ({_line(error)})") from None
    in_ps = path.suffix.lower() in _PICOSECONDS
    numbers = _Numbers()

    def read(index: int) -> ParsedFrame:
        frame = trajectory.read_step(index)
        time_fs = _picoseconds(frame["time"]) if in_ps else np.nan
        cell, pbc = _chemfiles_cell(frame.cell)
        return ParsedFrame(
            numbers=numbers.of(frame),
            positions=np.array(frame.positions),
            cell=cell,
            pbc=pbc,
            time_fs=time_fs,
        )

    declared = max(n_frames + is_cut, _declared_dcd_frames(path))
    return FrameFile(name, declared, _missing_after(n_frames, declared, read), trajectory.close)


class _Numbers:
    """Atomic numbers of chemfiles frames; looked up again only when the number of atoms changes."""

    def __init__(self) -> None:
        self._known: NDArray[np.uint8] | None = None

    def of(self, frame: Any) -> NDArray[np.uint8]:
        if self._known is None or len(self._known) != len(frame.atoms):
            numbers = np.array([atom.atomic_number for atom in frame.atoms], dtype=np.uint8)
            masses = np.array([atom.mass for atom in frame.atoms], dtype=np.float64)
            self._known = np.where(numbers > 0, numbers, numbers_from_masses(masses))
        return self._known


def numbers_from_masses(masses: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the element nearest in mass (u), as a PSF file needs it; 0 where none is near."""
    from ase.data import atomic_masses

    table = np.concatenate([[-1.0], atomic_masses[1:104]])
    nearest = np.abs(table - masses[:, None]).argmin(axis=1)
    near = np.abs(table[nearest] - masses) < 0.3
    return np.where(near, nearest, 0).astype(np.uint8)


def _missing_after(
    n_frames: int, declared: int, read: Callable[[int], ParsedFrame]
) -> Callable[[int], ParsedFrame]:
    def read_or_miss(index: int) -> ParsedFrame:
        if index >= n_frames:
            raise EOFError(f"{n_frames} of {declared} frames are complete")
        return read(index)

    return read_or_miss


def _declared_dcd_frames(path: Path) -> int:
    """Read the number of frames that a DCD header promises; 0 for other files."""
    if path.suffix.lower() != ".dcd":
        return 0
    with path.open("rb") as file:
        head = file.read(12)
    little = head[:4] == b"\x54\x00\x00\x00"
    return int.from_bytes(head[8:12], "little" if little else "big", signed=True)


def _picoseconds(time_ps: float) -> float:
    """Return femtoseconds; the files hold float32, whose shortest decimal is what was meant."""
    return round(float(str(np.float32(time_ps))) * 1000.0, 6)


def _chemfiles_cell(cell: Any) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    from chemfiles import CellShape

    if cell.shape == CellShape.Infinite:
        return None, None
    return np.array(cell.matrix).T, np.ones(3, dtype=np.bool_)


def open_ase_trajectory(path: Path, name: str) -> FrameFile:
    """Open a binary trajectory of ASE."""
    import ase.io

    try:
        opener: Any = ase.io.Trajectory
        trajectory = opener(str(path))
        n_frames = len(trajectory)
    except Exception as error:  # noqa: BLE001 - ASE raises anything on bad bytes
        raise BadTrajectory(f"{name}: not an ASE trajectory ({_line(error)})") from None
    return FrameFile(name, n_frames, lambda i: _from_atoms(trajectory[i]), trajectory.close)


def ase_frames(path: Path, name: str, selection: Selection) -> Iterator[ParsedFrame]:
    """Yield the selected frames of any other file that ASE recognises."""
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    try:
        frames = ase.io.iread(str(path), index=f"{selection.start}::{selection.every}")
    except UnknownFileTypeError:
        raise BadTrajectory(unknown_format(name)) from None
    for n_read in range(1 << 62):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                atoms = next(frames)
        except StopIteration:
            return
        except UnknownFileTypeError:
            raise BadTrajectory(unknown_format(name)) from None
        except Exception as error:  # noqa: BLE001 - ASE raises anything on bad input
            if n_read == 0 and isinstance(error, IndexError | ValueError) and selection.first:
                return
            raise BadTrajectory(
                f"{name}: ASE cannot read it after {n_read} frames ({_line(error)});"
                " write it as extxyz"
            ) from None
        yield _from_atoms(atoms)


def _from_atoms(atoms: Any) -> ParsedFrame:
    """Take what is needed from ase.Atoms; a time from its info, as in the comment of an xyz."""
    times = [f"{key}={value}" for key, value in atoms.info.items() if "time" in str(key).lower()]
    return ParsedFrame(
        numbers=np.asarray(atoms.numbers, dtype=np.uint8),
        positions=np.asarray(atoms.positions),
        cell=np.asarray(atoms.cell),
        pbc=np.asarray(atoms.pbc),
        time_fs=time_of(" ".join(times).encode()),
    )


def unknown_format(name: str) -> str:
    """Say that nothing reads a file."""
    return (
        f"{name}: unknown format; give xyz, extxyz, ASE traj, XDATCAR, a LAMMPS dump, DCD or XTC"
        " (with --topology), or anything else that ASE recognises"
    )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
