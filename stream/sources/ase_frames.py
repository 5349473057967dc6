"""Frames of ASE's own trajectories, and of whatever else ASE reads.

The library is imported where it is needed: that takes some tenths of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from stream.sources.frame_file import in_one_line
from stream.sources.frames import ParsedFrame, Selection
from stream.sources.xyz import time_of
from xas.errors import BadTrajectory


def ase_reader(path: Path, resources: ExitStack) -> Callable[[int], ParsedFrame]:
    """Return what reads a frame of ASE's trajectories; the file is opened when it is needed."""
    opened: list[Any] = []

    def read(index: int) -> ParsedFrame:
        if not opened:
            import ase.io

            opener: Any = ase.io.Trajectory
            opened.append(opener(resources.enter_context(path.open("rb"))))
        return _from_atoms(opened[0][index])

    return read


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
                f"{name}: ASE cannot read it after {n_read} frames ({in_one_line(error)});"
                " write it as extxyz"
            ) from None
        yield _from_atoms(atoms)


def _from_atoms(atoms: Any) -> ParsedFrame:
    """Take what is needed from ase.Atoms; ValueError for atomic numbers of no element."""
    if len(atoms) and not 0 <= min(atoms.numbers) <= max(atoms.numbers) <= 118:
        raise ValueError("atomic numbers must lie between 0 and 118")
    return ParsedFrame(
        numbers=np.asarray(atoms.numbers, dtype=np.uint8),
        positions=np.asarray(atoms.positions),
        cell=np.asarray(atoms.cell),
        pbc=np.asarray(atoms.pbc),
        time_fs=time_in(atoms.info),
    )


def time_in(info: Mapping[Any, Any]) -> float:
    """Return the time that ASE's extra information of a frame names, fs; NaN where it has none."""
    times = [f"{key}={value}" for key, value in info.items() if "time" in str(key).lower()]
    return time_of(" ".join(times).encode())


def unknown_format(name: str) -> str:
    """Say that nothing reads a file."""
    return (
        f"{name}: unknown format; give xyz, extxyz, ASE traj, XDATCAR, a LAMMPS dump, DCD or XTC"
        " (with --topology), or anything else that ASE recognises"
    )
