"""Frames of ASE's own trajectories, and of whatever else ASE reads.

The library is imported where it is needed: that takes some tenths of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from stream.sources.frame_file import FrameFile, in_one_line, quietly
from stream.sources.frames import ParsedFrame, Selection
from stream.sources.xyz import time_of
from xas.errors import BadTrajectory


def open_ase_trajectory(path: Path, name: str, resources: ExitStack) -> FrameFile:
    """Open a binary trajectory of ASE."""
    import ase.io

    try:
        opener: Any = ase.io.Trajectory
        trajectory = opener(str(path))
        resources.callback(trajectory.close)
        n_frames = len(trajectory)
    except Exception as error:  # noqa: BLE001 - ASE raises anything on bad bytes
        raise BadTrajectory(f"{name}: not an ASE trajectory ({in_one_line(error)})") from None
    return FrameFile(name, n_frames, quietly(lambda i: _from_atoms(trajectory[i])))


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
