"""Trajectories written in the formats that are read, for measuring the reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xas.edges import element_symbol
from xas.structure import StructureBatch

BOX_ANGSTROM = 60.0
TIMESTEP_FS = 4.0


def write_xyz(path: Path, frames: StructureBatch) -> None:
    """Plain xyz."""
    _write_text(path, frames, lambda i: f"frame {i}", _element_lines)


def write_extxyz(path: Path, frames: StructureBatch) -> None:
    """Extended xyz, with properties and times."""
    properties = "Properties=species:S:1:pos:R:3"
    _write_text(
        path, frames, lambda i: f'{properties} time={TIMESTEP_FS * i} pbc="F F F"', _element_lines
    )


def _write_text(
    path: Path,
    frames: StructureBatch,
    comment: Callable[[int], str],
    lines: Callable[[StructureBatch], Iterator[str]],
) -> None:
    with path.open("w") as file:
        for i, frame in enumerate(frames):
            file.write(f"{frame.n_atoms}\n{comment(i)}\n" + "\n".join(lines(frame)) + "\n")


def _element_lines(frame: StructureBatch) -> Iterator[str]:
    for number, (x, y, z) in zip(_symbols(frame), frame.positions.tolist(), strict=True):
        yield f"{number:<2} {x:14.8f} {y:14.8f} {z:14.8f}"


def _symbols(frame: StructureBatch) -> list[str]:
    return [element_symbol(number) for number in frame.numbers.tolist()]


def write_lammps(path: Path, frames: StructureBatch) -> None:
    """A LAMMPS dump with elements and unwrapped coordinates."""
    bounds = f"0.0 {BOX_ANGSTROM}\n" * 3
    with path.open("w") as file:
        for i, frame in enumerate(frames):
            file.write(
                f"ITEM: TIMESTEP\n{i}\nITEM: NUMBER OF ATOMS\n{frame.n_atoms}\n"
                f"ITEM: BOX BOUNDS ff ff ff\n{bounds}ITEM: ATOMS id element x y z\n"
            )
            rows = zip(_symbols(frame), frame.positions.tolist(), strict=True)
            file.writelines(
                f"{k} {symbol} {x:.8f} {y:.8f} {z:.8f}\n"
                for k, (symbol, (x, y, z)) in enumerate(rows, start=1)
            )


def write_xdatcar(path: Path, frames: StructureBatch) -> None:
    """An XDATCAR in a box, atoms in their order, one column of names a stretch of equal elements.

    Positions must lie within the box around the origin; fractions may be negative.
    """
    symbols = _symbols(frames[:1])
    starts = [i for i, s in enumerate(symbols) if i == 0 or s != symbols[i - 1]]
    counts = np.diff([*starts, len(symbols)])
    with path.open("w") as file:
        file.write("made\n1.0\n")
        file.writelines(
            " ".join(f"{BOX_ANGSTROM * (i == j):.6f}" for j in range(3)) + "\n" for i in range(3)
        )
        file.write(" ".join(symbols[i] for i in starts) + "\n")
        file.write(" ".join(map(str, counts.tolist())) + "\n")
        for i, frame in enumerate(frames):
            file.write(f"Direct configuration= {i + 1:5d}\n")
            fractions = (frame.positions / BOX_ANGSTROM).tolist()
            file.writelines(f"{x:14.10f} {y:14.10f} {z:14.10f}\n" for x, y, z in fractions)


def write_ase(path: Path, frames: StructureBatch) -> None:
    """ASE's own binary form."""
    from ase import Atoms
    from ase.io import write

    write(path, [Atoms(numbers=frame.numbers, positions=frame.positions) for frame in frames])


def write_chemfiles(path: Path, frames: StructureBatch) -> None:
    """DCD, XTC: whatever chemfiles makes of the name."""
    import chemfiles

    with chemfiles.Trajectory(str(path), "w") as file:
        for frame in frames:
            file.write(_chemfiles_frame(frame.numbers, frame.positions))


def _chemfiles_frame(numbers: NDArray[np.uint8], positions: NDArray[np.float32]) -> object:
    import chemfiles

    frame = chemfiles.Frame()
    for number, position in zip(numbers.tolist(), positions.tolist(), strict=True):
        symbol = element_symbol(number)
        frame.add_atom(chemfiles.Atom(symbol, symbol), position)
    return frame


TEXT = ("movie.xyz", "movie.extxyz", "XDATCAR", "movie.lammpstrj")
BINARY = ("movie.dcd", "movie.xtc", "movie.traj")
NEED_TOPOLOGY = ("movie.dcd", "movie.xtc")
WRITERS: dict[str, Callable[[Path, StructureBatch], None]] = {
    "movie.xyz": write_xyz,
    "movie.extxyz": write_extxyz,
    "XDATCAR": write_xdatcar,
    "movie.lammpstrj": write_lammps,
    "movie.dcd": write_chemfiles,
    "movie.xtc": write_chemfiles,
    "movie.traj": write_ase,
}
