"""Bad input: one line with file and remedy, exit code 2 or 3, nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import ase.io
import pytest
from commands import (
    DEMO,
    N_FRAMES,
    SLOWLY,
    call,
    complaint,
    ended,
    frames_in,
    free_port,
    started,
    text_of,
    the_line,
    until,
)

from edgestream.embedded import EmbeddedServer
from edgestream.models import open_store

pytestmark = pytest.mark.processes


def refused(folder: Path, trajectory: object, *words: object, code: int = 2) -> str:
    """The complaint of ``run``, which has left the folder as it was."""
    before = sorted(folder.rglob("*"))
    said = complaint("run", trajectory, "-o", folder / "md.h5", *words, code=code)
    assert sorted(folder.rglob("*")) == before
    return said


def test_files_that_are_no_trajectories(tmp_path: Path) -> None:
    empty, noise = tmp_path / "empty.xyz", tmp_path / "noise.dat"
    empty.write_bytes(b"")
    noise.write_bytes(bytes(range(256)) * 16)
    assert refused(tmp_path, tmp_path / "no.xyz") == f"no such file: {tmp_path / 'no.xyz'}"
    assert "is a folder; give" in refused(tmp_path, tmp_path)
    assert f"{empty} is empty; give" in refused(tmp_path, empty)
    assert str(noise) in refused(tmp_path, noise)


def test_a_match_says_what_it_wants_first_and_second(tmp_path: Path) -> None:
    run, spectrum, noise = (tmp_path / name for name in ("md.h5", "x.xdi", "noise.xdi"))
    noise.write_bytes(bytes(range(256)) * 16)
    assert "the measured spectrum comes first" in complaint("match", run, spectrum)
    assert f"{tmp_path} is a folder" in complaint("match", tmp_path, run)
    assert f"{noise} is no text" in complaint("match", noise, run)
    assert "replay" in complaint("match", spectrum, run, "--model", "cu-k")


def test_a_file_without_permission(tmp_path: Path) -> None:
    secret = tmp_path / "secret.extxyz"
    shutil.copy(DEMO, secret)
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    assert str(secret) in refused(tmp_path, secret)


def test_no_absorber_in_any_frame(tmp_path: Path) -> None:
    cobalt = tmp_path / "cobalt.extxyz"
    cobalt.write_text(text_of(slice(0, 3)).replace("\nFe", "\nCo"))
    assert f"{cobalt}: no Fe atom in any frame" in refused(tmp_path, cobalt)
    assert "frames of 17 atoms" in refused(tmp_path, DEMO, "--absorber", 99)
    assert "fe-k predicts Fe" in refused(tmp_path, DEMO, "--absorber", "Co")


def test_not_one_good_frame(tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.extxyz", tmp_path / "md.h5"
    bad.write_text(text_of(slice(0, 3)).replace("\nFe 0.00000", "\nFe inf"))
    done = call("run", bad, "-o", out, "--plot", tmp_path / "md.png", code=2)
    said = the_line(done.stderr)
    assert said.startswith(f"{bad}: none of its 3 frames has a spectrum: frame 0: ")
    assert "not finite" in said
    assert "dead letters 3" in done.stdout
    assert not (tmp_path / "md.png").exists()


def test_positions_in_nanometres(tmp_path: Path) -> None:
    small, out = tmp_path / "nm.xyz", tmp_path / "md.h5"
    frames = ase.io.read(DEMO, ":3")
    for atoms in frames:
        atoms.positions /= 10
    ase.io.write(small, frames, format="xyz")
    said = the_line(call("run", small, "-o", out, code=2).stderr)
    assert said.startswith(f"{small}: none of its 3 frames has a spectrum: frame 0: two atoms lie")
    assert said.endswith("are the positions in angstrom?")


def test_a_truncated_trajectory_keeps_its_complete_frames(tmp_path: Path) -> None:
    cut, out = tmp_path / "cut.extxyz", tmp_path / "md.h5"
    cut.write_text(text_of(slice(0, 10))[:-200])
    done = call("run", cut, "-o", out, code=2)
    said = the_line(done.stderr)
    assert f"{cut} ends in the middle of frame 9" in said
    assert "9 complete frames were kept" in said
    assert frames_in(out) == 9


def test_words_that_have_no_meaning(tmp_path: Path) -> None:
    assert "4fs" in refused(tmp_path, DEMO, "--timestep", "4")
    assert "cpu, cuda or cuda:N" in refused(tmp_path, DEMO, "--device", "tpu")
    assert "no address of a server" in refused(tmp_path, DEMO, "--redis-url", "http://x")
    assert "takes the path" in refused(tmp_path, DEMO, "--redis-server", "no-such-server")
    assert "written as .png" in refused(tmp_path, DEMO, "--plot", tmp_path / "a.xyz")
    assert "nobody would predict" in refused(tmp_path, DEMO, "--workers", 0)
    assert "cannot name a run" in complaint("run", DEMO, "-o", tmp_path / "a b.h5")
    assert "end in .h5" in complaint("run", DEMO, "-o", tmp_path / "a.dat")


def test_a_model_that_is_unknown_or_altered(tmp_path: Path) -> None:
    assert "the nearest is 'fe-k'" in refused(tmp_path, DEMO, "--model", "fe-kk")
    built_in = open_store().get("fe-k").folder
    copy = tmp_path / "mine" / "fe-k" / built_in.name
    shutil.copytree(built_in, copy)
    model = bytearray((copy / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (copy / "model.onnx").write_bytes(model)
    for reference in ([f"fe-k@{built_in.name}", "--models", tmp_path / "mine"], [copy]):
        said = refused(tmp_path, DEMO, "--model", *reference)
        assert "model.onnx: does not match its SHA-256" in said


def test_an_output_that_is_in_the_way_or_cannot_be_written(tmp_path: Path) -> None:
    out = tmp_path / "md.h5"
    out.write_text("something else")
    assert f"{out} exists: --resume goes on with it, --overwrite" in refused(tmp_path, DEMO)
    assert "not a result file of edgestream" in refused(tmp_path, DEMO, "--resume")
    assert out.read_text() == "something else"
    assert "cannot be written" in complaint("run", DEMO, "-o", "/proc/none/md.h5")


def test_a_server_that_nobody_runs(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    said = refused(tmp_path, DEMO, "--redis-url", url, code=3)
    assert f"no answer from the server at {url}" in said
    assert "edgestream serve --out DIR" in said
    assert url in complaint("status", "--redis-url", url, code=3)
    assert url in complaint("push", DEMO, "--run", "md", "--redis-url", url, code=3)
    for words in (["list"], ["show", "x"], ["cancel", "x"]):
        said = complaint("jobs", *words, "--redis-url", url, code=3)
        assert f"no answer from the server at {url}" in said
    labels, jobs = ("--labels", tmp_path / "labels"), ("--jobs-url", url)
    assert url in complaint("labeller", *labels, *jobs, "--", "true", code=3)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with EmbeddedServer(port=free_port()) as server:
        said = call("serve", "--out", tmp_path / "out", "--port", server.port, code=3).stderr
        port = f"port {server.port} of 127.0.0.1 is in use (another `edgestream serve`?)"
    assert the_line(said) == f"{port}: choose another with --port N"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_goes_away(comes_back: bool, tmp_path: Path) -> None:
    port, data, out = free_port(), tmp_path / "data", tmp_path / "md.h5"
    server = EmbeddedServer(data_dir=data, port=port).start()
    words = ("run", DEMO, "-o", out, "--redis-url", server.tcp_url)
    try:
        with started(*words, *SLOWLY) as process:
            until(lambda: frames_in(out) > 30)
            server.stop()
            assert process.stderr is not None
            for line in process.stderr:
                if "run 'md'" in line and "no answer from the server" in line:
                    assert "trying again" in line
                    break
            if comes_back:
                server = EmbeddedServer(data_dir=data, port=port).start()
                code, _, err = ended(process)
                assert code == 0, err
                assert "going on after" in err
            else:
                code, _, err = ended(process, signal.SIGTERM)
                assert code == 3, err
                assert "no answer from the server" in the_line(err)
    finally:
        server.stop()
    if not comes_back:
        call("run", DEMO, "-o", out, "--resume")
    assert frames_in(out) == N_FRAMES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_run_which_is_resumed_with_space(small_disk: Path) -> None:
    ballast, out = small_disk / "ballast", small_disk / "md.h5"
    ballast.write_bytes(bytes(600_000))
    few = small_disk.parent / "few.extxyz"
    few.write_text(text_of(slice(0, 100)))
    said = the_line(call("run", few, "-o", out, "--no-structures", code=3).stderr)
    assert str(small_disk) in said
    assert "space" in said
    ballast.unlink()
    call("run", few, "-o", out, "--no-structures", "--resume")
    assert frames_in(out) == len(ase.io.read(few, ":"))


def test_a_resumed_file_of_another_model_is_refused(tmp_path: Path) -> None:
    assert resources.files("model_store").joinpath("builtin", "fe-k").is_dir()
    few, out = tmp_path / "few.extxyz", tmp_path / "md.h5"
    few.write_text(text_of(slice(0, 10))[:-50])
    call("run", few, "-o", out, code=2)
    said = refused(tmp_path, few, "--resume", "--model", "fe-k@champion")
    assert "fe-k@champion" in said


@pytest.mark.parametrize("words", [("run", "-", "-o", "md.h5"), ("push", "-", "--run", "md")])
def test_a_pipe_cannot_be_resumed(words: tuple[str, ...], tmp_path: Path) -> None:
    said = complaint(*words, "--resume", cwd=tmp_path)
    assert "standard input cannot be read again" in said
    assert not list(tmp_path.iterdir())
