"""Nothing is lost and nothing is doubled when a part of the service dies."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from stand import HERE, SETTINGS, Stand, assert_all_predicted, moving_frames

from edgestream.demo_command import demo_trajectory
from edgestream.local import settings_as_options
from stream.messages import RunSpec
from stream.producer import Producer
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes
SERVERS = [None, "redis-server"]


@pytest.fixture(params=SERVERS, ids=["bundled-valkey", "redis-server"])
def stand(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stand]:
    if request.param is not None and shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} on PATH")
    made = Stand(tmp_path, request.param)
    yield made
    made.close()


def test_a_killed_worker_loses_no_frame(stand: Stand) -> None:
    frames = moving_frames(3000)
    stand.start_writer()
    stand.start_worker("w0")
    with stand.pushing("md", frames):
        stand.wait("md", lambda state: state.watermark > 200)
        stand.signal("w0", signal.SIGSTOP)  # so that it surely dies with a batch in hand
        stand.start_worker("w1")
        stand.wait("md", lambda state: state.next_index > 1500)
        stand.kill("w0")
    assert_all_predicted(stand.wait_until_finished("md"), frames)
    assert not stand.dead_letters()


def test_a_killed_writer_loses_and_doubles_no_row(stand: Stand) -> None:
    frames = moving_frames(3000)
    stand.start_writer()
    stand.start_worker()
    with stand.pushing("md", frames, pause_s=0.01):
        for mark in (100, 600, 1200):
            stand.wait("md", lambda state, mark=mark: state.watermark > mark)
            stand.kill("writer")
            stand.start_writer()
    assert_all_predicted(stand.wait_until_finished("md"), frames)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_a_restarted_server_loses_no_frame(stand: Stand, how: int) -> None:
    frames = moving_frames(2000)
    stand.start_writer()
    stand.start_worker()
    with stand.pushing("md", frames, pause_s=0.01):
        stand.wait("md", lambda state: state.watermark > 200)
        stand.restart_server(how=how)
    assert_all_predicted(stand.wait_until_finished("md"), frames)


def test_a_server_that_came_back_empty_learns_from_the_file(stand: Stand) -> None:
    frames = moving_frames(600)
    stand.start_writer()
    stand.start_worker()
    producer = Producer(stand.broker, "md", RunSpec(model="fe-k"), settings=SETTINGS)
    producer.push(frames[:400])
    stand.wait("md", lambda state: state.watermark == 400)
    stand.restart_server(how=signal.SIGKILL, empty=True)
    producer.push(frames[400:])
    producer.seal()
    assert_all_predicted(stand.wait_until_finished("md"), frames)


def test_a_zombie_worker_changes_nothing(stand: Stand) -> None:
    frames = moving_frames(2000)
    stand.start_writer()
    stand.start_worker("zombie")
    with stand.pushing("md", frames, pause_s=0.01):
        stand.wait("md", lambda state: state.watermark > 200)
        stand.signal("zombie", signal.SIGSTOP)
        stand.start_worker("heir")
        time.sleep(2.5 * SETTINGS.claim_idle_s)
        stand.signal("zombie", signal.SIGCONT)
    assert_all_predicted(stand.wait_until_finished("md"), frames)
    assert not stand.dead_letters()


def test_frames_that_kill_their_worker_are_the_only_dead_letters(stand: Stand) -> None:
    frames = moving_frames(600)
    n_atoms = frames.n_atoms // len(frames)
    numbers, positions = frames.numbers.copy(), frames.positions.copy()
    numbers[123 * n_atoms + 1] = 118  # the cursed workers of this test die of oganesson
    numbers[321 * n_atoms + 5] = 118
    positions[200 * n_atoms] = np.nan
    frames = StructureBatch.from_arrays(numbers, positions, frames.offsets)
    stand.start_writer()
    command = [sys.executable, str(HERE / "cursed_worker.py"), stand.url]
    for name in ("w0", "w1", "w2", "w3"):
        stand.start_command(name, [*command, *settings_as_options(SETTINGS)])
    with stand.pushing("md", frames):
        pass
    poison = {123, 200, 321}
    assert_all_predicted(stand.wait_until_finished("md"), frames, poison)
    letters = stand.dead_letters()
    assert {letter.first for letter in letters} == poison
    assert len(letters) == len(poison)
    assert {letter.first for letter in letters if letter.attempts == 2} == {123, 321}


def test_a_row_is_acknowledged_only_after_fsync_rename_fsync(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace")
    stand = Stand(tmp_path)
    try:
        trace = tmp_path / "trace"
        calls = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto,write,openat"
        stand.start_writer(under=["strace", "-f", "-s", "300", "-e", calls, "-o", str(trace)])
        stand.start_worker()
        frames = moving_frames(50)
        with stand.pushing("md", frames):
            pass
        stand.wait_until_finished("md")
    finally:
        stand.close()
    assert_order(trace.read_text().splitlines())


def assert_order(lines: list[str]) -> None:
    """The commit script is called only after a segment was synced, named, and its folder synced."""
    script = resources.files("stream") / "lua" / "commit.lua"
    commit = hashlib.sha1(script.read_bytes()).hexdigest()
    sent = next(i for i, line in enumerate(lines) if commit in line)
    before = lines[:sent]
    renamed = max(i for i, line in enumerate(before) if "rename" in line and ".h5" in line)
    syncs = [i for i, line in enumerate(before) if "fsync(" in line or "fdatasync(" in line]
    assert any(i < renamed for i in syncs), "the file was not synced before it was named"
    assert any(i > renamed for i in syncs), "its folder was not synced before the commit"


def test_nothing_is_left_behind_when_run_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgestream", "run", str(demo_trajectory())]
    command += ["-o", str(tmp_path / "md.h5"), "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()  # the service is up
    process.kill()
    process.wait()
    process.stderr.close()
    end = time.monotonic() + 20
    while (left := processes_that_name(tmp_path)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


def processes_that_name(folder: Path) -> list[str]:
    """Command lines of this user's processes that name a folder."""
    found = []
    for pid in Path("/proc").glob("[0-9]*"):
        if int(pid.name) == os.getpid():
            continue
        try:
            words = (pid / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found
