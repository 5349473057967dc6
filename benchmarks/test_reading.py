"""Frames a second of one core, for every format, beside chemfiles and ASE on the same files.

    python -m pytest benchmarks/test_reading.py --benchmark-timer=time.process_time

Files are written from the real trajectory of 69 atoms. The peers do less: no check, no rounding, no
batch; their atoms stay in objects of their own. `frames_per_s` is in the extra columns of --json.
"""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import ase.io
import chemfiles
import numpy as np
import pytest

from stream.sources.trajectory import open_trajectory

COPIES = 4
BINARY = (".dcd", ".xtc", ".trr", ".nc")
FILES = [
    *("md.xyz", "md.extxyz", "md.xyz.gz", "md.lammpstrj", "XDATCAR", "md.pdb", "md.gro"),
    *("md.traj", "md.dcd", "md.xtc", "md.trr", "md.nc"),
]
BY_CHEMFILES = ["md.xyz", "md.pdb", "md.gro", "md.lammpstrj", *(f"md{suffix}" for suffix in BINARY)]
BY_ASE = ["md.xyz", "md.extxyz", "md.lammpstrj", "XDATCAR", "md.pdb", "md.traj"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    data = Path(os.environ.get("EDGESTREAM_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = data / "trajectories" / "fe_complex_69_atoms_300K.xyz"
    if not path.is_file():
        pytest.skip(f"no real data in {data} (set EDGESTREAM_DATA)")
    out = tmp_path_factory.mktemp("trajectories")
    text = path.read_bytes() * COPIES
    (out / "md.xyz").write_bytes(text)
    (out / "md.xyz.gz").write_bytes(gzip.compress(text, 6))
    frames = ase.io.read(path, ":")
    for frame in frames:
        frame.cell, frame.pbc = [20, 21, 22], True
    frames *= COPIES
    ase.io.write(out / "top.xyz", frames[0])
    for name, kind in (("md.extxyz", "extxyz"), ("md.traj", "traj"), ("XDATCAR", "vasp-xdatcar")):
        ase.io.write(out / name, frames, format=kind)
    write_lammps(out / "md.lammpstrj", frames)
    for suffix in (*BINARY, ".pdb", ".gro"):
        write_with_chemfiles(out / f"md{suffix}", frames)
    return out


def write_lammps(path: Path, frames) -> None:
    order = np.random.default_rng(0)
    symbols = frames[0].get_chemical_symbols()
    with path.open("w") as out:
        for k, frame in enumerate(frames):
            out.write(f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n")
            out.write("ITEM: BOX BOUNDS pp pp pp\n0 20\n0 21\n0 22\nITEM: ATOMS id element x y z\n")
            for i in order.permutation(len(frame)):
                x, y, z = frame.positions[i]
                out.write(f"{i + 1} {symbols[i]} {x:.5f} {y:.5f} {z:.5f}\n")


def write_with_chemfiles(path: Path, frames) -> None:
    with warnings.catch_warnings(), chemfiles.Trajectory(str(path), "w") as out:
        warnings.simplefilter("ignore")
        for k, atoms in enumerate(frames):
            frame = chemfiles.Frame()
            for symbol, place in zip(atoms.symbols, atoms.positions, strict=True):
                frame.add_atom(chemfiles.Atom(symbol), list(place))
            frame.cell = chemfiles.UnitCell([20, 21, 22])
            frame["time"] = 0.004 * k
            frame.step = k
            out.write(frame)


def options(path: Path) -> dict[str, Path]:
    return {"topology": path.parent / "top.xyz"} if path.suffix in BINARY else {}


def by_edgestream(path: Path) -> int:
    return sum(len(chunk) for chunk in open_trajectory(path, **options(path)))


def by_edgestream_skipping(path: Path) -> int:
    *_, last = open_trajectory(path, every=1000, **options(path))
    return (len(last) - 1) * 1000 + 1


def by_chemfiles(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with chemfiles.Trajectory(str(path)) as trajectory:
            return sum(len(np.array(frame.positions)) > 0 for frame in trajectory)


def by_ase(path: Path) -> int:
    kind = {"XDATCAR": "vasp-xdatcar", "md.lammpstrj": "lammps-dump-text"}.get(path.name)
    return sum(len(atoms.positions) > 0 for atoms in ase.io.iread(path, ":", format=kind))


CASES = [
    *((by_edgestream, name) for name in FILES),
    *((by_edgestream_skipping, name) for name in FILES),
    *((by_chemfiles, name) for name in BY_CHEMFILES),
    *((by_ase, name) for name in BY_ASE),
]


@pytest.mark.parametrize(("read", "name"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_reading(benchmark, folder: Path, read: Callable[[Path], int], name: str) -> None:
    path = folder / name
    n_frames = benchmark.pedantic(read, args=(path,), rounds=5, warmup_rounds=1, iterations=1)
    assert n_frames > 1000 * (COPIES - 1)
    benchmark.extra_info["frames_per_s"] = round(n_frames / benchmark.stats.stats.min)
    print(f"{read.__name__:24s} {name:14s} {n_frames / benchmark.stats.stats.min:10,.0f} frames/s")
