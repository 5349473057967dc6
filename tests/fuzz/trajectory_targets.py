"""Trajectory files of every format that we read, and measured spectra."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import ase.io
import numpy as np
from ase import Atoms
from forked import Forked
from made_trajectories import write_with_chemfiles
from mutation import FLOATS, NUMBERS, TEXT_WORDS
from target import Target

from stream.sources import chemfiles_frames
from stream.sources.measured import read_measured
from stream.sources.trajectory import open_trajectory

XYZ = b'2\nLattice="4 0 0 0 4 0 0 0 4" time=1.5\nFe 0.0 0.0 0.0\nO 1.0 1.5 2.0\n'
EXTXYZ = b'2\nProperties=species:S:1:pos:R:3:f:R:3 pbc="T T F"\nFe 0 0 0 1 2 3\nO 1 1 2 1 2 3\n'
DUMP = (
    b"ITEM: UNITS\nmetal\nITEM: TIME\n0.5\nITEM: TIMESTEP\n7\nITEM: NUMBER OF ATOMS\n2\n"
    b"ITEM: BOX BOUNDS xy xz yz pp pp pp\n0 4 0\n0 4 0\n0 4 0.5\n"
    b"ITEM: ATOMS id element xs ys zs\n2 O 0.5 0.5 0.5\n1 Fe 0 0 0\n"
)
XDATCAR = (
    b"iron oxide\n 1.0\n 4 0 0\n 0 4 0\n 0 0 4\n Fe O\n 1 1\n"
    b"Direct configuration= 1\n 0 0 0\n 0.5 0.5 0.5\n"
)
PDB = (
    b"MODEL     1\nCRYST1    6.000    7.000    8.000  80.00  85.00  70.00 P 1           1\n"
    b"HETATM    1 Fe           1       1.000   2.000   3.000  1.00  0.00          Fe\n"
    b"TER\nATOM      2 O   HOH    1       1.500   2.000   3.000  1.00  0.00           O\nENDMDL\n"
)
GRO = (
    b"iron\n    2\n    1XXXXX   Fe    1   0.100   0.200   0.300\n"
    b"    1XXXXX    O    2   0.100   0.200   0.400\n   0.60000   0.70000   0.80000\n"
)
CIF = (
    b"data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n"
    b"_cell_angle_beta 90\n_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n"
    b"_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nFe 0 0 0\n"
)
PSF = (
    b"PSF\n\n       1 !NTITLE\n REMARKS x\n\n       2 !NATOM\n"
    b"       1 U    1    HOH  FE   FE     0.000000       55.8450           0\n"
    b"       2 U    1    HOH  O    O     -0.834000       15.9994           0\n\n"
    b"       0 !NBOND: bonds\n\n"
)
TEXTS: dict[str, list[bytes]] = {
    "md.xyz": [XYZ * 3, EXTXYZ * 2, gzip.compress(XYZ * 3)],
    "md.lammpstrj": [DUMP * 3],
    "XDATCAR": [XDATCAR * 2],
    "md.pdb": [PDB * 2],
    "md.gro": [GRO * 3],
    "md.cif": [CIF],
}
BINARIES = ("dcd", "xtc", "trr", "nc", "traj")
WORDS = (
    *TEXT_WORDS,
    *(b"ITEM: ATOMS", b"Properties=", b"Lattice=", b"MODEL", b"ENDMDL", b"CORD", b"coordinates"),
    *(b"Direct configuration=", b"\x1f\x8b", b"!NATOM", b"time=", b"pbc="),
)


def _read(path: Path, topology: Path | None, data: bytes) -> None:
    path.write_bytes(data)
    with open_trajectory(path, topology=topology) as source:
        for chunk in source:
            assert len(chunk) > 0
            assert np.diff(chunk.structures.offsets).min() >= 0


def _insane_text(data: bytes, rng: Random) -> bytes:
    """Some words replaced by mad numbers, or lines in another order or number."""
    lines = data.split(b"\n")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        words = lines[at].split(b" ")
        words[rng.randrange(len(words))] = str(rng.choice((*NUMBERS, *FLOATS))).encode()
        lines[at] = b" ".join(words)
        if rng.random() < 0.2:
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines)


def _insane_binary(data: bytes, rng: Random) -> bytes:
    """A mad number where the header has one."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(len(data), 400)) // 4 * 4
        order = rng.choice(("little", "big"))
        number = rng.choice((*NUMBERS[:9], 10**9, 1 << 30, 1 << 28)) & 0xFFFFFFFF
        changed[at : at + 4] = number.to_bytes(4, order)  # type: ignore[arg-type]
    return bytes(changed)


def _forking() -> None:
    """A child is a copy of this process."""
    import chemfiles  # noqa: F401 - so that copies have it

    chemfiles_frames.start_child = Forked  # type: ignore[assignment]


def text(name: str, folder: Path) -> Target:
    """A text format."""
    look = partial(_read, folder / name, None)
    return Target(look=look, seeds=TEXTS[name], insane=_insane_text, words=WORDS)


def binary(suffix: str, folder: Path) -> Target:
    """A binary format, its elements from a topology."""
    atoms = [
        Atoms(
            "FeOH2C8", positions=np.arange(36).reshape(12, 3) / 3 + 0.1 * k, cell=[9, 9, 9], pbc=1
        )
        for k in range(3)
    ]
    _forking()
    ase.io.write(folder / "top.xyz", atoms[0])
    seeds = []
    for i, frames in enumerate((atoms, [a[:4] for a in atoms[:1]])):
        path = folder / f"seed{i}.{suffix}"
        if suffix == "traj":
            ase.io.write(path, frames)
        else:
            write_with_chemfiles(path, frames)
        seeds.append(path.read_bytes())
    topology = None if suffix == "traj" else folder / "top.xyz"

    def look(data: bytes) -> None:
        _read(folder / f"md.{suffix}", topology, data)

    def unless_other_atoms(data: bytes) -> None:
        if data != seeds[1] or topology is None:
            look(data)

    return Target(look=unless_other_atoms, seeds=seeds, insane=_insane_binary, words=WORDS)


def topology(folder: Path) -> Target:
    """A PSF file as the topology of a DCD file."""
    path, trajectory = folder / "top.psf", folder / "md.dcd"
    _forking()
    write_with_chemfiles(trajectory, [Atoms("FeO", positions=np.eye(3)[:2])])

    def look(data: bytes) -> None:
        path.write_bytes(data)
        for _ in open_trajectory(trajectory, topology=path):
            pass

    return Target(look=look, seeds=[PSF], insane=_insane_text, words=WORDS)


TRAJECTORIES: dict[str, Callable[[Path], Target]] = {
    **{f"trajectory-{name}": partial(text, name) for name in TEXTS},
    **{f"trajectory-{suffix}": partial(binary, suffix) for suffix in BINARIES},
    "trajectory-psf": topology,
}

COLUMNS = b"# energy mu\n" + b"".join(b"%d %.3f\n" % (7100 + i, 0.1 * i) for i in range(40))
XDI = (
    b"# XDI/1.0 test\n# Element.symbol: Fe\n# Element.edge: K\n# Column.1: energy eV\n"
    b"# Column.2: i0\n# Column.3: itrans\n# Mono.d_spacing: 3.13\n#---\n# energy i0 itrans\n"
    + b"".join(b"%d %.3f %.3f\n" % (7100 + i, 2.0, 1.0 + 0.01 * i) for i in range(40))
)


def measured(folder: Path) -> Target:
    """A measured spectrum, as `edgestream match` reads it."""
    path = folder / "measured.xdi"

    def look(data: bytes) -> None:
        path.write_bytes(data)
        read_measured(path)

    seeds = [COLUMNS, XDI, gzip.compress(XDI)]
    words = (*TEXT_WORDS, b"# XDI/1.0", b"Column.1: angle degrees", b"Mono.d_spacing: 0")
    return Target(look=look, seeds=seeds, insane=_insane_text, words=words)
