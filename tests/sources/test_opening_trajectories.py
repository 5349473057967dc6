"""Selection, the time axis, chunks, standard input, and what is refused."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import ase.io
import numpy as np
import pytest

from stream.sources.trajectory import open_trajectory
from xas.errors import BadTrajectory

FRAME = "2\ntime_fs={t}\nFe {x} 0 0\nO 0 0 2\n"
UNTIMED = "2\nframe\nFe {x} 0 0\nO 0 0 2\n"


def write(path: Path, n_frames: int, template: str = FRAME) -> Path:
    path.write_text("".join(template.format(t=4.0 * k, x=k) for k in range(n_frames)))
    return path


def first_x(chunks) -> list[float]:
    return [x for chunk in chunks for x in chunk.structures.positions[::2, 0].tolist()]


def test_every_and_first_select_frames_of_the_file(tmp_path):
    path = write(tmp_path / "md.xyz", 20)
    chunks = list(open_trajectory(path, every=3, first=2))
    assert first_x(chunks) == [6, 9, 12, 15, 18]
    assert chunks[0].times_fs.tolist() == [24, 36, 48, 60, 72]


def test_the_given_time_step_counts_frames_of_the_file(tmp_path):
    path = write(tmp_path / "md.xyz", 200, UNTIMED)
    chunks = list(open_trajectory(path, every=2, first=3, timestep_fs=0.5))
    times = np.concatenate([chunk.times_fs for chunk in chunks])
    np.testing.assert_allclose(times, np.arange(6, 200, 2) * 0.5)


def test_times_of_the_file_come_before_the_given_time_step(tmp_path):
    (chunk,) = open_trajectory(write(tmp_path / "md.xyz", 3), timestep_fs=100.0)
    assert chunk.times_fs.tolist() == [0, 4, 8]


def test_without_times_there_is_no_time_axis(tmp_path):
    (chunk,) = open_trajectory(write(tmp_path / "md.xyz", 3, UNTIMED))
    assert chunk.times_fs is None


def test_chunks_are_bounded_by_frames_and_by_atoms(tmp_path):
    path = write(tmp_path / "md.xyz", 200)
    assert [len(c) for c in open_trajectory(path)] == [64, 64, 64, 8]
    assert [len(c) for c in open_trajectory(path, block_atoms=100)] == [50, 50, 50, 50]


def test_the_number_of_frames_is_estimated(tmp_path):
    source = open_trajectory(write(tmp_path / "md.xyz", 5000), every=10, first=7)
    assert source.n_frames_hint == pytest.approx(493, rel=0.02)
    source.close()


def test_reading_does_not_hold_the_file(tmp_path):
    path = write(tmp_path / "md.xyz", 8000, FRAME.replace("time", "note=" + "x" * 3000 + " time"))
    assert path.stat().st_size > 20e6
    tracemalloc.start()
    n_frames = sum(len(chunk) for chunk in open_trajectory(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_frames == 8000
    assert peak < 10e6


def test_the_first_chunk_comes_before_the_file_is_read(tmp_path):
    path = write(tmp_path / "md.xyz", 100_000)
    with open_trajectory(path) as source:
        assert len(next(source)) == 64


def test_reading_after_the_end_stays_at_the_end(tmp_path):
    source = open_trajectory(write(tmp_path / "md.xyz", 3))
    assert len(list(source)) == 1
    assert list(source) == []


READER = """
from stream.sources.trajectory import open_trajectory
from xas.errors import BadTrajectory
try:
    for chunk in open_trajectory("-"):
        print(len(chunk), float(chunk.structures.positions[-2, 0]), flush=True)
except BadTrajectory as error:
    print(error, flush=True)
"""


@pytest.fixture
def reader():
    process = subprocess.Popen(
        [sys.executable, "-c", READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_live_pipe_hands_out_each_frame_as_it_comes(reader):
    for k in range(5):
        text = FRAME.format(t=k, x=k)
        reader.stdin.write(text if k == 0 else text + "2\ntime_fs=")
        reader.stdin.flush()
        assert reader.stdout.readline() == f"1 {float(k)}\n"
        if k:
            reader.stdin.write("9\nFe 9 0 0\nO 0 0 2\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == "1 9.0\n"
    reader.stdin.close()
    assert reader.stdout.read() == ""
    assert reader.wait() == 0


def test_a_full_pipe_is_read_in_chunks_and_its_truncation_reported(reader):
    out, _ = reader.communicate("".join(FRAME.format(t=k, x=k) for k in range(500)) + "2\n\nFe")
    *counts, complaint = out.splitlines()
    assert sum(int(line.split()[0]) for line in counts) == 500
    assert complaint.startswith("standard input ends in the middle of frame 500 (line 2003)")


def test_a_packed_pipe_says_what_to_do(reader):
    reader.stdin.buffer.write(gzip.compress(FRAME.encode()))
    reader.stdin.close()
    assert reader.stdout.read().startswith("standard input is packed; unpack it")


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("absent.xyz", None, "no such file"),
        ("empty.xyz", b"", "is empty"),
        ("noise.bin", bytes(range(256)), "unknown format"),
        ("md.tng", b"x" * 99, "convert it to XTC"),
        ("md.traj", b"not a trajectory at all", "not an ASE trajectory"),
        ("md.dcd", b"not a trajectory at all", "--topology"),
        ("broken.cif", b"data_x\nloop_\n", "holds no frame"),
        ("md.xyz.gz", b"\x1f\x8b", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name, content, remedy):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadTrajectory, match=remedy) as caught:
        list(open_trajectory(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(BadTrajectory, match="is a folder"):
        open_trajectory(tmp_path)


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "md.xyz")
    with pytest.raises(BadTrajectory, match="give - and connect it to standard input"):
        open_trajectory(tmp_path / "md.xyz")


def test_a_negative_selection_is_refused(tmp_path):
    path = write(tmp_path / "md.xyz", 1)
    with pytest.raises(BadTrajectory, match="every must be at least 1"):
        open_trajectory(path, every=0)


def test_the_demo_trajectory_is_readable():
    demo = Path(__file__).parents[2] / "edgestream" / "demo"
    (path,) = demo.glob("*.extxyz")
    chunks = list(open_trajectory(path))
    assert sum(map(len, chunks)) == 400
    assert chunks[-1].times_fs[-1] == 1596.0
    assert path.stat().st_size < 1_000_000


@pytest.mark.data
def test_the_shared_trajectory_agrees_with_ase(data_dir):
    path = data_dir / "trajectories" / "fe_complex_69_atoms_300K.xyz"
    chunks = list(open_trajectory(path, every=50))
    frames = ase.io.read(path, "::50")
    np.testing.assert_array_equal(
        np.concatenate([chunk.structures.positions for chunk in chunks]),
        np.concatenate([frame.positions for frame in frames]).astype(np.float32),
    )
    times = np.concatenate([chunk.times_fs for chunk in chunks])
    np.testing.assert_array_equal(times, [frame.info["time_fs"] for frame in frames])


@pytest.mark.data
def test_structures_of_changing_size_are_read_from_a_packed_file(data_dir):
    chunks = list(open_trajectory(data_dir / "tmqm_fe.xyz.gz"))
    assert sum(map(len, chunks)) == 4446
    assert all((chunk.structures.numbers > 0).all() for chunk in chunks)
