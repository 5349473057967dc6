"""LAMMPS dumps, XDATCAR, binary trajectories, and what ASE reads."""

from __future__ import annotations

import gzip

import ase.io
import chemfiles
import numpy as np
import pytest
from made_trajectories import write_with_chemfiles

from stream.sources.trajectory import open_trajectory
from xas.errors import BadTrajectory


def read_all(path, **options):
    return list(open_trajectory(path, **options))


def positions(chunks):
    return np.concatenate([chunk.structures.positions for chunk in chunks])


def of_ase(frames):
    return np.concatenate([frame.positions for frame in frames]).astype(np.float32)


def lammps_text(frames, columns="id type x y z", box=None, scaled=False):
    kind = {26: 1, 8: 2, 1: 3}
    out = []
    for k, atoms in enumerate(frames):
        place = atoms.get_scaled_positions(wrap=False) if scaled else atoms.positions
        out += ["ITEM: TIMESTEP", str(100 * k), "ITEM: NUMBER OF ATOMS", str(len(atoms))]
        out += box or ["ITEM: BOX BOUNDS pp pp ff", "0 10", "0 11", "0 12"]
        out.append(f"ITEM: ATOMS {columns}")
        for i in (2, 0, 3, 1):  # LAMMPS writes atoms in any order
            x, y, z = place[i]
            values = {
                "id": i + 1,
                "type": kind[atoms.numbers[i]],
                "element": atoms.symbols[i],
                "x": x,
                "y": y,
                "z": z,
            }
            names = columns.replace("xs", "x").replace("ys", "y").replace("zs", "z").split()
            out.append(" ".join(str(values[name]) for name in names))
    return "\n".join(out) + "\n"


def test_a_lammps_dump_is_sorted_and_typed(tmp_path, water_and_iron):
    path = tmp_path / "dump.lammpstrj"
    path.write_text(lammps_text(water_and_iron))
    (chunk,) = read_all(path, types={1: "Fe", 2: "O", 3: "H"})
    assert chunk.structures.numbers[:4].tolist() == [26, 8, 1, 1]
    np.testing.assert_array_equal(positions([chunk]), of_ase(water_and_iron))
    np.testing.assert_array_equal(chunk.structures.cells[0], np.diag([10, 11, 12]))
    assert chunk.structures.pbc[0].tolist() == [True, True, False]


def test_a_dump_is_known_by_its_first_line_and_needs_types(tmp_path, water_and_iron, collect):
    path = tmp_path / "dump.fe.gz"
    path.write_bytes(gzip.compress(lammps_text(water_and_iron).encode()))
    _, complaint = collect(open_trajectory(path, types={1: "Fe", 2: "O"}))
    assert "frame 0" in complaint
    assert "--types 3=Fe (given: 1=Fe,2=O)" in complaint
    assert len(read_all(path, topology=_xyz(tmp_path, water_and_iron))[0]) == 7


def _xyz(folder, frames):
    ase.io.write(folder / "top.xyz", frames[0])
    return folder / "top.xyz"


def test_a_triclinic_dump_with_scaled_positions_agrees_with_ase(tmp_path, crystal):
    # bounds of the skewed cell, https://docs.lammps.org/Howto_triclinic.html
    box = ["ITEM: BOX BOUNDS xy xz yz pp pp pp", "0 7.5 1.0", "-0.4 7 0.5", "0 8 -0.4"]
    path = tmp_path / "dump.lammpstrj"
    path.write_text(lammps_text(crystal, "id element xs ys zs", box, scaled=True))
    (chunk,) = read_all(path)
    np.testing.assert_allclose(chunk.structures.cells[0], crystal[0].cell[:], atol=1e-12)
    np.testing.assert_allclose(positions([chunk]), of_ase(crystal), atol=1e-6)


def test_a_dump_cut_short_keeps_its_complete_frames(tmp_path, water_and_iron, collect):
    text = lammps_text(water_and_iron, "element x y z")
    path = tmp_path / "dump.lammpstrj"
    six = len(lammps_text(water_and_iron[:6], "element x y z"))
    for cut in (len(text) - 30, six + 4, six + 40, six + 80):
        path.write_text(text[:cut])
        chunks, complaint = collect(open_trajectory(path))
        assert sum(map(len, chunks)) == 6
        assert "ends in the middle of frame 6 (line " in complaint


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("id element x y z", "id element vx vy vz", "no positions"),
        ("0 10\n", "0 ten\n", "BOX BOUNDS cannot be read"),
        ("ITEM: TIMESTEP", "ITEM: WEATHER", "expected a section"),
        ("\n3 H", "\n2 H", "the same id"),
        ("\n3 H", "\nthree H", "'three' is not a number"),
    ],
)
def test_a_damaged_dump_says_where(tmp_path, water_and_iron, collect, old, new, reason):
    path = tmp_path / "dump.lammpstrj"
    good = lammps_text(water_and_iron, "id element x y z")
    size = len(good) // 7
    first = lammps_text(water_and_iron[:1], "id element x y z")
    assert size
    path.write_text(first + good[len(first) :].replace(old, new, 1))
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 1
    assert "frame 1 (line " in complaint
    assert reason in complaint


def test_units_of_a_dump_are_converted(tmp_path, water_and_iron):
    path = tmp_path / "dump.lammpstrj"
    head = "ITEM: UNITS\nmetal\nITEM: TIME\n0.002\n"
    path.write_text(head + lammps_text(water_and_iron[:1], "element x y z"))
    (chunk,) = read_all(path)
    assert chunk.times_fs.tolist() == [2.0]


@pytest.mark.parametrize("name", ["XDATCAR", "run7.XDATCAR", "XDATCAR.gz"])
def test_xdatcar_agrees_with_ase(tmp_path, crystal, name):
    plain = tmp_path / "XDATCAR"
    ase.io.write(plain, crystal, format="vasp-xdatcar")
    expected = ase.io.read(plain, ":", format="vasp-xdatcar")
    text = plain.read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    (chunk,) = read_all(tmp_path / name, timestep_fs=2.0)
    np.testing.assert_allclose(positions([chunk]), of_ase(expected), atol=1e-6)
    np.testing.assert_allclose(chunk.structures.cells[6], crystal[6].cell[:], atol=1e-6)
    assert chunk.structures.numbers[:4].tolist() == [26, 8, 1, 1]
    assert chunk.times_fs.tolist() == [0, 2, 4, 6, 8, 10, 12]


def test_an_xdatcar_with_a_changing_cell_is_read(tmp_path):
    head = "fe\n 1.0\n {a} 0 0\n 0 4 0\n 0 0 4\n Fe O\n 1 1\n"
    frame = "Direct configuration= {k}\n 0 0 0\n 0.5 0.5 0.5\n"
    text = head.format(a=4) + frame.format(k=1) + head.format(a=5) + frame.format(k=2)
    (tmp_path / "XDATCAR").write_text(text + frame.format(k=3))
    (chunk,) = read_all(tmp_path / "XDATCAR")
    assert chunk.structures.cells[:, 0, 0].tolist() == [4, 5, 5]
    assert chunk.structures.positions[1::2, 0].tolist() == [2, 2.5, 2.5]


def test_a_truncated_xdatcar_keeps_its_complete_frames(tmp_path, crystal, collect):
    path = tmp_path / "XDATCAR"
    ase.io.write(path, crystal, format="vasp-xdatcar")
    path.write_text(path.read_text()[:-40])
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 6
    assert "middle of frame 6" in complaint


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "nc"])
def test_binary_trajectories_take_their_elements_from_a_topology(
    tmp_path, water_and_iron, suffix, recwarn
):
    path = tmp_path / f"md.{suffix}"
    write_with_chemfiles(path, water_and_iron, 0.004 * np.arange(7))
    source = open_trajectory(path, topology=_xyz(tmp_path, water_and_iron), every=2, first=1)
    assert source.n_frames_hint == 3
    (chunk,) = list(source)
    coarse = 6e-3 if suffix == "xtc" else 1e-5  # XTC rounds to 0.01 angstrom
    np.testing.assert_allclose(positions([chunk]), of_ase(water_and_iron[2::2]), atol=coarse)
    assert chunk.structures.numbers[:4].tolist() == [26, 8, 1, 1]
    if suffix in ("xtc", "trr"):
        assert chunk.times_fs.tolist() == [8.0, 16.0, 24.0]


def test_a_binary_trajectory_without_topology_says_what_to_give(tmp_path, water_and_iron):
    write_with_chemfiles(tmp_path / "md.xtc", water_and_iron)
    with pytest.raises(BadTrajectory, match="--topology"):
        open_trajectory(tmp_path / "md.xtc")


def test_a_topology_of_another_system_is_refused(tmp_path, water_and_iron):
    write_with_chemfiles(tmp_path / "md.xtc", water_and_iron)
    top = _xyz(tmp_path, [water_and_iron[0][:3]])
    with pytest.raises(BadTrajectory, match="frames of 4 atoms, but the topology has 3"):
        next(open_trajectory(tmp_path / "md.xtc", topology=top))


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr"])
def test_a_truncated_binary_trajectory_keeps_its_complete_frames(
    tmp_path, water_and_iron, suffix, collect
):
    path = tmp_path / f"md.{suffix}"
    write_with_chemfiles(path, water_and_iron)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    top = _xyz(tmp_path, water_and_iron)
    chunks, complaint = collect(open_trajectory(path, topology=top))
    assert sum(map(len, chunks)) == 6
    assert "frame 6" in complaint
    assert "6 complete frames were kept" in complaint


def test_a_packed_binary_trajectory_is_unpacked_and_removed(tmp_path, water_and_iron, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    write_with_chemfiles(tmp_path / "md.dcd", water_and_iron)
    packed = tmp_path / "md.dcd.gz"
    packed.write_bytes(gzip.compress((tmp_path / "md.dcd").read_bytes()))
    (chunk,) = read_all(packed, topology=_xyz(tmp_path, water_and_iron))
    assert len(chunk) == 7
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_periodic_dcd_has_its_cell(tmp_path, crystal):
    write_with_chemfiles(tmp_path / "md.dcd", crystal)
    (chunk,) = read_all(tmp_path / "md.dcd", topology=_xyz(tmp_path, crystal))
    lengths = np.linalg.norm(chunk.structures.cells[0], axis=1)
    np.testing.assert_allclose(lengths, crystal[0].cell.lengths(), rtol=1e-5)
    volume = abs(np.linalg.det(chunk.structures.cells[0]))
    np.testing.assert_allclose(volume, crystal[0].cell.volume, rtol=1e-5)


def test_an_ase_trajectory_keeps_times_and_cells(tmp_path, crystal):
    for k, frame in enumerate(crystal):
        frame.info["time_fs"] = 4.0 * k
    ase.io.write(tmp_path / "md.traj", crystal)
    source = open_trajectory(tmp_path / "md.traj", every=3)
    assert source.n_frames_hint == 3
    (chunk,) = list(source)
    np.testing.assert_array_equal(positions([chunk]), of_ase(crystal[::3]))
    np.testing.assert_array_equal(chunk.structures.cells[2], crystal[6].cell[:])
    assert chunk.times_fs.tolist() == [0, 12, 24]


def test_a_truncated_ase_trajectory_keeps_its_complete_frames(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.traj"
    ase.io.write(path, water_and_iron)
    path.write_bytes(path.read_bytes()[:-100])
    chunks, complaint = collect(open_trajectory(path))
    assert 1 <= sum(map(len, chunks)) <= 6
    assert f"frame {sum(map(len, chunks))}" in complaint


@pytest.mark.parametrize("name", ["POSCAR", "fe.cif", "fe.xsf", "fe.pdb", "fe.gro"])
def test_single_structures_are_read_too(tmp_path, crystal, name):
    ase.io.write(tmp_path / name, crystal[0])
    chunks = read_all(tmp_path / name)
    assert [len(chunk) for chunk in chunks] == [1]
    assert sorted(chunks[0].structures.numbers.tolist()) == [1, 1, 8, 26]


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "nc", "pdb", "gro"])
@pytest.mark.parametrize("moving_cell", [False, True])
def test_what_chemfiles_writes_is_read_as_chemfiles_reads_it(
    tmp_path, crystal, suffix, moving_cell
):
    for k, atoms in enumerate(crystal):
        atoms.set_cell(atoms.cell * (1 + 0.01 * k * moving_cell))
    path = tmp_path / f"md.{suffix}"
    write_with_chemfiles(path, crystal, 0.5 * np.arange(7))
    (chunk,) = read_all(path, topology=_xyz(tmp_path, crystal))
    with chemfiles.Trajectory(str(path)) as trajectory:
        frames = [trajectory.read_step(k) for k in range(trajectory.nsteps)]
        expected = np.concatenate([np.array(frame.positions) for frame in frames])
        cells = np.array([np.array(frame.cell.matrix).T for frame in frames])
    np.testing.assert_array_equal(positions([chunk]), expected.astype(np.float32))
    np.testing.assert_allclose(chunk.structures.cells, cells, atol=1e-12)
    assert chunk.structures.pbc.all()


def test_a_dcd_without_cells_or_of_other_byte_order_is_read(tmp_path, water_and_iron):
    path = tmp_path / "md.dcd"
    write_with_chemfiles(path, water_and_iron)
    (chunk,) = read_all(path, topology=_xyz(tmp_path, water_and_iron))
    np.testing.assert_array_equal(positions([chunk]), of_ase(water_and_iron))
    whole = bytearray(path.read_bytes())
    text = slice(96, 96 + int.from_bytes(whole[92:96], "little"))  # of the titles, but their number
    swapped = np.frombuffer(whole, "<i4").astype(">i4").tobytes()
    swapped = bytearray(swapped)
    swapped[4:8] = whole[4:8]
    swapped[text.start + 4 : text.stop] = whole[text.start + 4 : text.stop]
    (tmp_path / "big.dcd").write_bytes(bytes(swapped))
    (other,) = read_all(tmp_path / "big.dcd", topology=_xyz(tmp_path, water_and_iron))
    np.testing.assert_array_equal(positions([other]), positions([chunk]))


def test_a_pdb_keeps_the_cell_of_its_head_in_every_model(tmp_path):
    head = "REMARK\nCRYST1    6.000    7.000    8.000  90.00  90.00  90.00 P 1           1\n"
    atom = "HETATM    1 Fe           1       1.000   2.000{z:8.3f}  1.00  0.00          Fe\n"
    oxygen = "ATOM      2 O   HOH    1       1.000   2.000   9.000  1.00  0.00\n"  # a short line
    models = [f"MODEL    {k}\n{atom.format(z=-k)}TER\n{oxygen}ENDMDL\n" for k in range(3)]
    path = tmp_path / "md.pdb"
    path.write_text(head + "".join(models) + "CONECT    1    2\nEND\n")
    (chunk,) = read_all(path)
    assert chunk.structures.numbers.tolist() == [26, 8] * 3
    assert chunk.structures.positions[::2, 2].tolist() == [0, -1, -2]
    np.testing.assert_array_equal(chunk.structures.cells[2], np.diag([6, 7, 8]))
    (last,) = read_all(path, first=2)
    assert last.structures.cells[0, 0, 0] == 6


@pytest.mark.parametrize("name", ["md.pdb", "md.gro"])
def test_a_damaged_number_in_fixed_columns_is_named(tmp_path, water_and_iron, name, collect):
    path = tmp_path / name
    write_with_chemfiles(path, water_and_iron)
    lines = path.read_text().splitlines(keepends=True)
    damaged = 7 * 2 + 3  # in both formats a frame has seven lines, the third one an atom
    lines[damaged] = lines[damaged].replace(".", "x")
    path.write_text("".join(lines))
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 2
    assert f"{path}, frame 2 (line {damaged + 1}): '" in complaint
    assert "is not a number" in complaint


@pytest.mark.parametrize("name", ["md.pdb", "md.gro"])
def test_a_cut_file_of_fixed_columns_keeps_its_complete_frames(
    tmp_path, water_and_iron, name, collect
):
    path = tmp_path / name
    write_with_chemfiles(path, water_and_iron)
    whole = path.read_text().removesuffix("END\n")
    size = len(whole) // 7
    for cut in (len(whole) - 40, 6 * size + size // 2):
        path.write_text(whole[:cut])
        chunks, complaint = collect(open_trajectory(path))
        assert sum(map(len, chunks)) == 6
        assert "ends in the middle of frame 6" in complaint


def test_gro_columns_are_as_wide_as_their_decimals(tmp_path):
    path = tmp_path / "md.gro"
    atom = "    1XXXXX   Fe    1" + "".join(f"{x:12.7f}" for x in (-100.1234567, 0.2, -300.5))
    path.write_text(f"precise\n    1\n{atom}\n   0.0 0.0 0.0\n" * 2)
    (chunk,) = read_all(path)
    np.testing.assert_array_equal(
        chunk.structures.positions[0], np.float32([-1001.234567, 2, -3005])
    )
    assert chunk.structures.cells is None


def test_a_trr_frame_without_positions_is_refused(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.trr"
    write_with_chemfiles(path, water_and_iron)
    data = bytearray(path.read_bytes())
    size = len(data) // 7
    places = slice(2 * size + 24 + 7 * 4, 2 * size + 24 + 8 * 4)  # the size of the positions
    velocities = slice(places.start + 4, places.stop + 4)
    data[velocities], data[places] = data[places], data[velocities]
    path.write_bytes(data)
    chunks, complaint = collect(open_trajectory(path, topology=_xyz(tmp_path, water_and_iron)))
    assert sum(map(len, chunks)) == 2
    assert "frame 2" in complaint
    assert "no positions" in complaint


def test_an_ase_trajectory_that_changes_its_atoms_is_read_as_ase_reads_it(tmp_path, crystal):
    frames = [*crystal[:2], crystal[2][:3], *crystal[3:]]
    frames[4].pbc = [True, False, False]
    frames[5].info["array"] = np.arange(3)  # an entry that is more than plain JSON
    ase.io.write(tmp_path / "md.traj", frames)
    (chunk,) = read_all(tmp_path / "md.traj")
    again = ase.io.read(tmp_path / "md.traj", ":")
    np.testing.assert_array_equal(positions([chunk]), of_ase(again))
    np.testing.assert_array_equal(chunk.structures.pbc, [atoms.pbc for atoms in again])
    assert chunk.structures.numbers.tolist() == [z for atoms in again for z in atoms.numbers]


def test_atoms_of_a_dump_in_frames_of_changing_size_are_sorted(tmp_path, water_and_iron):
    path = tmp_path / "dump.lammpstrj"
    text = lammps_text(water_and_iron[:1], "id element x y z")
    smaller = text.replace("ATOMS\n4", "ATOMS\n3").replace(f"\n{text.splitlines()[-1]}", "")
    path.write_text(text + smaller + text)
    (chunk,) = read_all(path)
    assert np.diff(chunk.structures.offsets).tolist() == [4, 3, 4]
    place = water_and_iron[0].positions.astype(np.float32)
    np.testing.assert_array_equal(chunk.structures.positions[4:7], place[[0, 2, 3]])


@pytest.mark.parametrize("columns", ["id element x id z", "element x y", "id type x y element"])
def test_positions_of_a_dump_must_be_side_by_side(tmp_path, water_and_iron, columns, collect):
    path = tmp_path / "dump.lammpstrj"
    path.write_text(lammps_text(water_and_iron, columns))
    _, complaint = collect(open_trajectory(path))
    assert "no positions: dump the columns x y z" in complaint
