"""Whatever the bytes, a text trajectory is read or refused in one line; nothing else happens."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from made_trajectories import write_with_chemfiles

from stream.sources.trajectory import open_trajectory
from xas.errors import BadTrajectory

XYZ = b'2\nLattice="4 0 0 0 4 0 0 0 4" time=1.5\nFe 0.0 0.0 0.0\nO 1.0 1.5 2.0\n'
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
EXAMPLES = {
    "md.xyz": XYZ * 3,
    "md.lammpstrj": DUMP * 3,
    "XDATCAR": XDATCAR * 3,
    "md.pdb": PDB * 3,
    "md.gro": GRO * 3,
}

edits = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.integers(0, 12),
        st.one_of(
            st.binary(max_size=6),
            st.sampled_from([b"\n", b"nan", b"-1", b"1e999", b"99999999999", b"0", b" ", b"ITEM:"]),
        ),
    ),
    min_size=1,
    max_size=4,
)


def read(path, topology=None) -> str:
    try:
        for chunk in open_trajectory(path, topology=topology):
            assert len(chunk) > 0
            assert np.diff(chunk.structures.offsets).min() >= 0
    except BadTrajectory as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", EXAMPLES)
@given(changes=edits)
@settings(max_examples=80, deadline=None)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, name, changes):
    content = bytearray(EXAMPLES[name])
    for place, length, new in changes:
        at = place % len(content) if content else 0
        content[at : at + length] = new
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(bytes(content))
    complaint = read(path)
    assert "\n" not in complaint
    assert complaint == "" or str(path) in complaint


@pytest.mark.parametrize("name", EXAMPLES)
@given(content=st.binary(max_size=300))
@settings(max_examples=30, deadline=None)
def test_noise_is_refused(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("noise") / name
    path.write_bytes(content)
    assert str(path) in read(path)


@pytest.fixture(scope="module")
def binaries(tmp_path_factory) -> Path:
    """A folder with three frames in every binary format, and their topology."""
    folder = tmp_path_factory.mktemp("whole")
    atoms = [Atoms("FeOH2", positions=np.arange(12).reshape(4, 3) + 0.1 * k) for k in range(3)]
    ase.io.write(folder / "top.xyz", atoms[0])
    ase.io.write(folder / "md.traj", atoms)
    for suffix in ("dcd", "xtc", "trr"):
        write_with_chemfiles(folder / f"md.{suffix}", atoms)
    return folder


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "traj"])
@given(changes=edits)
@settings(max_examples=40, deadline=None)
def test_a_damaged_binary_file_is_read_or_refused(tmp_path_factory, binaries, suffix, changes):
    content = bytearray((binaries / f"md.{suffix}").read_bytes())
    for place, length, new in changes:
        at = place % len(content) if content else 0
        content[at : at + length] = new
    path = tmp_path_factory.mktemp("damaged") / f"md.{suffix}"
    path.write_bytes(bytes(content))
    complaint = read(path, None if suffix == "traj" else binaries / "top.xyz")
    assert "\n" not in complaint
    assert complaint == "" or str(path) in complaint


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(b"0123456789.-+eE \nFO")), max_size=4
    )
)
@settings(max_examples=200, deadline=None)
def test_where_ase_reads_a_changed_xyz_too_it_reads_the_same(tmp_path_factory, changes):
    content = bytearray(b"2\nstep=1\nFe 0.125 -1.5 2.25\nO 1.0 1.5e0 -2.0625\n" * 2)
    for place, letter in changes:
        content[place % len(content)] = letter
    path = tmp_path_factory.mktemp("changed") / "md.xyz"
    path.write_bytes(bytes(content))
    try:
        ours = [chunk.structures for chunk in open_trajectory(path)]
        theirs = ase.io.read(path, ":", format="xyz")
    except Exception:  # noqa: BLE001 - ASE raises anything
        return
    numbers = np.concatenate([structures.numbers for structures in ours])
    assert numbers.tolist() == [z for atoms in theirs for z in atoms.numbers]
    np.testing.assert_array_equal(
        np.concatenate([structures.positions for structures in ours]),
        np.concatenate([atoms.positions for atoms in theirs]).astype(np.float32),
    )


@pytest.mark.parametrize("count", [b"-1", b"99999999999999999999", b"1e3", b"0x10"])
def test_an_impossible_number_of_atoms_is_refused_at_once(tmp_path, count):
    path = tmp_path / "md.xyz"
    path.write_bytes(XYZ + count + b"\n\nFe 0 0 0\n")
    assert "expected the number of atoms" in read(path)


def test_an_overflowing_coordinate_becomes_infinite(tmp_path):
    path = tmp_path / "md.xyz"
    path.write_bytes(b"1\n\nFe 1e300 0 0\n")
    (chunk,) = open_trajectory(path)
    assert np.isinf(chunk.structures.positions[0, 0])
