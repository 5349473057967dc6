"""XYZ and extended XYZ: what is read, and where a damaged file ends."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.io
import chemfiles
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sources.trajectory import open_trajectory
from xas.errors import BadTrajectory


def text_of(frames, comment="frame {k}") -> str:
    blocks = []
    for k, frame in enumerate(frames):
        rows = [
            f"{s} {x:.5f} {y:.5f} {z:.5f}"
            for s, (x, y, z) in zip(frame.get_chemical_symbols(), frame.positions, strict=True)
        ]
        blocks.append("\n".join([str(len(frame)), comment.format(k=k), *rows]) + "\n")
    return "".join(blocks)


def read_all(path, **options):
    return list(open_trajectory(path, **options))


def test_plain_xyz_gives_elements_and_positions(tmp_path, water_and_iron):
    path = tmp_path / "md.xyz"
    path.write_text(text_of(water_and_iron))
    (chunk,) = read_all(path)
    assert len(chunk) == 7
    assert chunk.structures.numbers[:4].tolist() == [26, 8, 1, 1]
    expected = np.concatenate([frame.positions for frame in water_and_iron])
    np.testing.assert_allclose(chunk.structures.positions, expected, atol=6e-6)
    assert chunk.structures.cells is None
    assert chunk.times_fs is None


def test_extended_xyz_written_by_ase_comes_back_bit_for_bit(tmp_path, crystal):
    path = tmp_path / "md.extxyz"
    for k, frame in enumerate(crystal):
        frame.info["time"] = 0.5 * k
        frame.new_array("forces", np.full((4, 3), 0.25))
        frame.pbc = [True, True, False]
    ase.io.write(path, crystal)
    (chunk,) = read_all(path)
    again = ase.io.read(path, ":")
    expected = np.concatenate([frame.positions for frame in again]).astype(np.float32)
    np.testing.assert_array_equal(chunk.structures.positions, expected)
    np.testing.assert_array_equal(chunk.structures.cells[3], again[3].cell)
    assert chunk.structures.pbc.tolist() == [[True, True, False]] * 7
    np.testing.assert_allclose(chunk.times_fs, 0.5 * np.arange(7))


def test_xyz_written_by_chemfiles_is_read(tmp_path, water_and_iron):
    path = tmp_path / "md.xyz"
    with chemfiles.Trajectory(str(path), "w") as out:
        for atoms in water_and_iron:
            frame = chemfiles.Frame()
            for symbol, place in zip(atoms.symbols, atoms.positions, strict=True):
                frame.add_atom(chemfiles.Atom(symbol), list(place))
            frame.cell = chemfiles.UnitCell([5, 6, 7])
            out.write(frame)
    (chunk,) = read_all(path)
    assert len(chunk) == 7
    np.testing.assert_allclose(chunk.structures.cells[0], np.diag([5, 6, 7]), atol=1e-9)
    assert chunk.structures.pbc.all()


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_packed_file_reads_like_the_plain_one(tmp_path, water_and_iron, suffix):
    import bz2
    import lzma

    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    text = text_of(water_and_iron).encode()
    (tmp_path / "md.xyz").write_bytes(text)
    (tmp_path / f"md.xyz{suffix}").write_bytes(pack(text))
    plain, packed = read_all(tmp_path / "md.xyz"), read_all(tmp_path / f"md.xyz{suffix}")
    np.testing.assert_array_equal(plain[0].structures.positions, packed[0].structures.positions)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_keeps_exactly_its_complete_frames(tmp_path_factory, data):
    atoms = ase.Atoms("FeO", positions=[[0, 0, 0], [1.25, 0.5, 2.125]])
    text = text_of([atoms] * 5, "time_fs={k}").encode()
    size = len(text) // 5
    last_number = size - 9  # of the first frame, where a shorter number may be meant
    cut = data.draw(st.integers(1, last_number) | st.integers(size, len(text)))
    path = tmp_path_factory.mktemp("cut") / "md.xyz"
    path.write_bytes(text[:cut])
    complete = (cut + 1) // size  # a missing last line end loses nothing
    n_read, complaint = 0, ""
    try:
        for chunk in open_trajectory(path):
            n_read += len(chunk)
    except BadTrajectory as error:
        complaint = str(error)
    assert n_read == complete
    whole = cut % size in (0, size - 1)
    assert (complaint == "") == whole
    if complaint:
        assert f"{path} ends in the middle of frame {complete} (line " in complaint


def test_the_report_of_a_truncation_names_frame_and_line(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz"
    lines = text_of(water_and_iron).splitlines(keepends=True)
    path.write_text("".join(lines[:6] + lines[6:9]))
    chunks, complaint = collect(open_trajectory(path))
    assert [len(chunk) for chunk in chunks] == [1]
    assert complaint.startswith(
        f"{path} ends in the middle of frame 1 (line 9): 1 complete frame was kept"
    )


def test_a_number_cut_short_at_the_end_does_not_count(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz"
    path.write_text(text_of(water_and_iron)[:-3])
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 6
    assert "middle of frame 6" in complaint


def test_a_cut_gzip_file_keeps_its_complete_frames(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz.gz"
    packed = gzip.compress(text_of(water_and_iron * 50).encode())
    path.write_bytes(packed[: len(packed) // 2])
    chunks, complaint = collect(open_trajectory(path))
    assert 50 < sum(map(len, chunks)) < 350
    assert "ends in the middle of frame" in complaint


def test_the_last_line_of_a_hand_written_file_needs_no_line_end(tmp_path):
    path = tmp_path / "water.xyz"
    path.write_text("3\n\nO 0 0 0.1173\nH 0 0.757 -0.469\nH 0 -0.757 -0.5")
    assert read_all(path)[0].structures.n_atoms == 3


def test_a_damaged_line_is_named_after_the_frames_before_it(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz"
    lines = text_of(water_and_iron).splitlines()
    lines[6 * 2 + 3] = "O 1.0 oops 2.0"
    path.write_text("\n".join(lines) + "\n")
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 2
    assert f"{path}, frame 2 (line 16): 'oops' is not a number" in complaint


def test_a_line_with_too_few_columns_is_named(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz"
    lines = text_of(water_and_iron).splitlines()
    lines[6 * 2 + 3] = "O 1.0 2.0"
    lines[6 * 2 + 4] = "H 1.0 2.0 3.0 4.0"
    path.write_text("\n".join(lines) + "\n")
    _, complaint = collect(open_trajectory(path))
    assert "frame 2 (line 16): expected 4 columns, found 'O 1.0 2.0'" in complaint


def test_a_bad_count_is_named(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz"
    path.write_text(text_of(water_and_iron[:2]) + "four\nx\n")
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 2
    assert "frame 2 (line 13): expected the number of atoms, found 'four'" in complaint


def test_an_unknown_element_is_named_with_its_frame(tmp_path, water_and_iron, collect):
    path = tmp_path / "md.xyz"
    path.write_text(text_of(water_and_iron) + "1\n\nQq 0 0 0\n")
    chunks, complaint = collect(open_trajectory(path))
    assert sum(map(len, chunks)) == 7
    assert "frame 7 (line 45): unknown element 'Qq'" in complaint


def test_integer_types_need_types(tmp_path, collect):
    path = tmp_path / "dump.xyz"
    path.write_text("2\n\n1 0 0 0\n2 1 0 0\n" * 3)
    _, complaint = collect(open_trajectory(path))
    assert "--types 1=Fe" in complaint
    (chunk,) = read_all(path, types={1: "Fe", 2: "O"})
    assert chunk.structures.numbers.tolist() == [26, 8] * 3


def test_declared_columns_are_followed(tmp_path):
    path = tmp_path / "md.extxyz"
    path.write_text(
        "1\nProperties=id:I:1:pos:R:3:Z:I:1 pbc='F F F'\n7 1.0 2.0 3.0 26\n"
        "1\nProperties=pos:R:3:species:S:1\n1.0 2.0 3.0 Fe\n"
    )
    (chunk,) = read_all(path)
    assert chunk.structures.numbers.tolist() == [26, 26]
    assert chunk.structures.positions.tolist() == [[1, 2, 3]] * 2


@pytest.mark.parametrize(
    "properties",
    ["species:S:1:pos:R:2", "pos:R:3:species:S:0", "species:S:1:pos:R:3:x:R:999999999", "pos:R:3"],
)
def test_declared_columns_that_make_no_sense_are_refused(tmp_path, collect, properties):
    path = tmp_path / "md.extxyz"
    path.write_text(f"1\nProperties={properties}\nFe 1.0 2.0 3.0\n")
    chunks, complaint = collect(open_trajectory(path))
    assert chunks == []
    assert "frame 0 (line 2): Properties" in complaint


@pytest.mark.parametrize(
    ("label", "number"), [("FE", 26), ("fe", 26), ("Fe1", 26), ("D", 1), ("X", 0), ("C_a", 6)]
)
def test_labels_of_other_programs_are_understood(tmp_path, label, number):
    path = tmp_path / "one.xyz"
    path.write_text(f"1\n\n{label} 0 0 0\n")
    assert read_all(path)[0].structures.numbers.tolist() == [number]


def test_nan_positions_and_empty_frames_are_passed_on(tmp_path, water_and_iron):
    path = tmp_path / "md.xyz"
    path.write_text(text_of(water_and_iron[:1]) + "0\nempty\n1\n\nFe nan inf 0\n")
    (chunk,) = read_all(path)
    assert np.diff(chunk.structures.offsets).tolist() == [4, 0, 1]
    assert np.isnan(chunk.structures.positions[-1, 0])
    assert np.isinf(chunk.structures.positions[-1, 1])


def test_blank_lines_and_windows_line_ends_are_harmless(tmp_path, water_and_iron):
    path = tmp_path / "md.xyz"
    text = text_of(water_and_iron[:1]) + "\n" + text_of(water_and_iron[1:2]) + "\n\n"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    (chunk,) = read_all(path)
    assert len(chunk) == 2


@pytest.mark.parametrize(
    ("comment", "time_fs"),
    [
        ("time_fs=12.5", 12.5),
        ("i = 3, time =   1.500, E = -17.1", 1.5),
        ("Time=2.5", 2.5),
        ("time_ps=0.5", 500.0),
        ("time=0.25 ps psi=4", 250.0),
        ("time=12 psi=4", 12.0),
        ("walltime=3", np.nan),
        ("step=4", np.nan),
    ],
)
def test_the_time_is_taken_from_the_comment(tmp_path, comment, time_fs):
    path = tmp_path / "md.xyz"
    path.write_text(f"1\n{comment}\nFe 0 0 0\n")
    (chunk,) = read_all(path)
    if np.isnan(time_fs):
        assert chunk.times_fs is None
    else:
        assert chunk.times_fs.tolist() == [time_fs]


@pytest.mark.parametrize("head", ['Lattice="1 2"', 'Lattice="a b c"', "Properties=pos:R:3"])
def test_a_bad_comment_is_named(tmp_path, collect, head):
    path = tmp_path / "md.extxyz"
    path.write_text(f"1\n{head}\nFe 0 0 0\n")
    _, complaint = collect(open_trajectory(path))
    assert "frame 0 (line 2)" in complaint


def test_a_binary_file_called_xyz_is_refused(tmp_path, collect):
    path = tmp_path / "md.xyz"
    path.write_bytes(bytes(range(256)) * 10)
    _, complaint = collect(open_trajectory(path))
    assert "expected the number of atoms" in complaint


def test_a_frame_larger_than_a_block_is_read(tmp_path):
    path = Path(tmp_path / "large.xyz")
    n_atoms = 120_000
    path.write_text((f"{n_atoms}\n\n" + "Fe 1.25 2.5 3.75\n" * n_atoms) * 2)
    chunks = read_all(path)
    assert [len(chunk) for chunk in chunks] == [1, 1]
    assert chunks[1].structures.n_atoms == n_atoms
