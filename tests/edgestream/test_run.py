"""``edgestream run``: a trajectory in, one row a frame out."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pytest
from commands import (
    DEMO,
    N_FRAMES,
    SLOWLY,
    call,
    complaint,
    ended,
    frames_in,
    service,
    started,
    text_of,
    the_line,
    until,
)

import edgestream

pytestmark = pytest.mark.processes


def assert_rows(path: Path, atoms: list[ase.Atoms]) -> None:
    """One row a frame, in order, each what ``predict`` says."""
    direct = edgestream.predict(atoms)
    with edgestream.open_run(path) as run:
        assert run.finished
        assert run.frame_index.tolist() == list(range(len(atoms)))
        assert np.abs(run.intensity[:] - direct.intensity).max() < 1e-6
        assert np.abs(run.errors[:] - direct.errors).max() < 1e-6


@pytest.mark.data
def test_1006_frames_give_1006_rows_equal_to_predict(data_dir: Path, tmp_path: Path) -> None:
    trajectory = data_dir / "trajectories" / "fe_complex_69_atoms_300K.xyz"
    call("run", trajectory, "--model", "fe-k", "-o", tmp_path / "fe.h5")
    atoms = ase.io.read(trajectory, ":")
    assert len(atoms) == 1006
    assert_rows(tmp_path / "fe.h5", atoms)


def test_two_workers_a_packed_file_and_a_picture(tmp_path: Path) -> None:
    packed, out, picture = tmp_path / "md.extxyz.gz", tmp_path / "md.h5", tmp_path / "md.png"
    packed.write_bytes(gzip.compress(DEMO.read_bytes()))
    done = call("run", packed, "-o", out, "--workers", 2, "--plot", picture, "--json")
    said = json.loads(done.stdout)
    assert (said["frames"], said["sites"], said["dead_letters"]) == (N_FRAMES, N_FRAMES, 0)
    assert said["file"] == str(out)
    assert 0 < said["median_uncertainty_percent"] < 100
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert_rows(out, ase.io.read(DEMO, ":"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["md.extxyz.gz", "md.h5", "md.png"]


def test_every_tenth_frame_with_a_time_step_and_without_structures(tmp_path: Path) -> None:
    plain = tmp_path / "plain.xyz"
    atoms = ase.io.read(DEMO, ":")
    ase.io.write(plain, atoms, format="xyz")  # has no times of its own
    out = tmp_path / "md.h5"
    call("run", plain, "-o", out, "--every", 10, "--timestep", "4fs", "--no-structures")
    with edgestream.open_run(out) as run:
        assert run.header.time_units == "fs"
        assert run.times.tolist() == [40.0 * k for k in range(40)]
        with pytest.raises(edgestream.EdgestreamError, match="without structures"):
            run.structures()
    assert_rows(out, ase.io.read(plain, "::10"))


def test_standard_input_and_chosen_atoms(tmp_path: Path) -> None:
    pair = (text_of(slice(0, 1)) + text_of(slice(1, 2))).replace("\nC ", "\nFe ", 1)
    out = tmp_path / "pair.h5"
    call("run", "-", "-o", out, "--absorber", "0,1", input=pair)
    with edgestream.open_run(out) as run:
        assert [run.status.tolist(), run.sites.frame.tolist()] == [[1, 2], [0, 0]]
        assert run.sites.atom.tolist() == [0, 1]
        assert run.dead_letters == [(1, "atom 1 is C; fe-k predicts Fe K-edges")]
        assert np.allclose(run.intensity[0], run.sites.intensity[:].mean(axis=0))


def test_frames_of_a_live_pipe_are_written_as_they_come(tmp_path: Path) -> None:
    out = tmp_path / "live.h5"
    with started("run", "-", "-o", out, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for n in (1, 2, 3):
            process.stdin.write(text_of(slice(n - 1, n)))
            process.stdin.flush()
            until(lambda n=n: frames_in(out) == n)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)  # while the pipe is silent, but open
        code, _, err = ended(process)
    assert (code, frames_in(out)) == (130, 3), err


def test_bad_frames_are_dead_letters_and_the_rest_goes_on(tmp_path: Path) -> None:
    parts = [text_of(slice(i, i + 1)) for i in range(8)]
    parts[1] = parts[1].replace("\nFe 0.00000", "\nFe nan", 1)
    parts[2] = parts[2].replace("\nFe", "\nCo", 1)
    parts[4] = "0\nProperties=species:S:1:pos:R:3\n"
    lines = parts[6].splitlines(keepends=True)
    parts[6] = "".join([*lines[:4], lines[3], *lines[5:]])  # two atoms in one place
    mixed, out = tmp_path / "mixed.extxyz", tmp_path / "mixed.h5"
    mixed.write_text("".join(parts))
    done = call("run", mixed, "-o", out)
    with edgestream.open_run(out) as run:
        assert run.status.tolist() == [1, 2, 2, 1, 2, 1, 2, 1]
        reasons = dict(run.dead_letters)
    assert list(reasons) == [1, 2, 4, 6]
    assert "dead letters 4" in done.stdout
    for index in (1, 2, 4):
        assert f"frame {index}: {reasons[index]}" in done.stdout
    assert "no Fe atom" in reasons[2]
    assert "same place" in reasons[6] or "apart" in reasons[6]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_is_resumed_to_the_complete_file(how: int, tmp_path: Path) -> None:
    out = tmp_path / "md.h5"
    with started("run", DEMO, "-o", out, *SLOWLY) as process:
        until(lambda: frames_in(out) > 50)
        code, printed, err = ended(process, how)
    kept = frames_in(out)
    assert 50 < kept < N_FRAMES
    if how != signal.SIGKILL:
        assert code == 130
        assert f"frames       {kept}  (interrupted; --resume goes on)" in printed
        assert "stopping" in err
        assert "exists: --resume" in complaint("run", DEMO, "-o", out)
    again = call("run", DEMO, "-o", out, "--resume")
    assert "frames are there; going on" in again.stderr
    assert_rows(out, ase.io.read(DEMO, ":"))
    assert [p.name for p in tmp_path.iterdir()] == ["md.h5"]
    assert "complete with 400 frames" in complaint("run", DEMO, "-o", out, "--resume")


def test_a_run_is_resumed_only_as_it_was_begun(tmp_path: Path) -> None:
    out, part = tmp_path / "md.h5", tmp_path / "part.extxyz"
    part.write_text(text_of(slice(0, 20))[:-30])
    assert "19 complete frames were kept" in the_line(call("run", part, "-o", out, code=2).stderr)
    part.write_text(text_of(slice(0, 30)))
    assert "every" in complaint("run", part, "-o", out, "--resume", "--every", 2)
    assert frames_in(out) == 19
    call("run", part, "-o", out, "--resume")
    assert_rows(out, ase.io.read(part, ":"))
    call("run", part, "-o", out, "--overwrite", "--every", 2)
    assert_rows(out, ase.io.read(part, "::2"))


def test_a_run_is_resumed_only_with_its_own_trajectory(tmp_path: Path) -> None:
    out, source = tmp_path / "md.h5", tmp_path / "md.extxyz"
    source.write_text(text_of(slice(0, 20))[:-30])
    call("run", source, "-o", out, code=2)
    begun, kept = out.read_bytes(), text_of(slice(0, 19))
    last = text_of(slice(18, 19))
    for text, why in {
        text_of(slice(0, 10)): f"{source} ends after 10 frames, {out} has 19: not the trajectory",
        kept.replace(last, last.replace("\nC ", "\nN ", 1)): f"frame 18 of {source} is another",
        text_of(slice(20, 50)): f"frame 18 of {source} is another structure than in {out}: not",
    }.items():
        source.write_text(text)
        assert why in complaint("run", source, "-o", out, "--resume")
        assert out.read_bytes() == begun
    source.write_text(kept)
    call("run", source, "-o", out, "--resume")
    assert_rows(out, ase.io.read(source, ":"))


def test_a_service_that_runs_already_does_the_work(tmp_path: Path) -> None:
    out = tmp_path / "served" / "md.h5"
    with service(tmp_path / "served") as url:
        done = call("run", DEMO, "-o", out, "--redis-url", url)
        assert "at work on" not in done.stderr  # no worker of its own
        assert_rows(out, ase.io.read(DEMO, ":"))
        elsewhere = tmp_path / "elsewhere" / "md2.h5"
        done = call("run", DEMO, "-o", elsewhere, "--every", 100, "--redis-url", url)
        assert str(tmp_path / "served" / "md2.h5") in done.stdout  # its writer decides where
