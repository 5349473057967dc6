"""The spool with real processes: what was accepted arrives, whoever is killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand import SETTINGS, Stand, assert_all_predicted, moving_frames

from edgestream.demo_command import demo_trajectory
from edgestream.settings_words import settings_as_options
from stream.messages import RunSpec
from stream.producer import Producer

pytestmark = pytest.mark.processes
SPEC = RunSpec(model="fe-k")
LIVE = """
import sys
from dataclasses import replace
from pathlib import Path
from stand import SETTINGS, moving_frames
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
frames = moving_frames(600)
producer = Producer(RedisBroker(sys.argv[1]), "md", RunSpec(model="fe-k"),
    settings=SETTINGS, resume=True, spool=Path(sys.argv[2]))
for k in range(producer.next_index, len(frames)):
    producer.push(frames[k : k + 1])
    print(producer.next_index, flush=True)
producer.seal()
while not producer.settle():
    pass
"""


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def producing(stand: Stand, folder: Path) -> subprocess.Popen[str]:
    """A process that goes on with a run of 600 frames, and says which it has accepted."""
    command = [sys.executable, "-c", LIVE, stand.url, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)


def test_a_killed_producer_goes_on_without_a_lost_or_doubled_frame(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [str(Path(__file__).parent), *sys.path]
    monkeypatch.setenv("PYTHONPATH", ":".join(path))
    stand.start_writer()
    stand.start_worker()
    accepted = 0
    for mark in (50, 150, 300):
        producer = producing(stand, tmp_path / "spool")
        assert producer.stdout is not None
        while accepted < mark:
            accepted = int(producer.stdout.readline())
        producer.kill()
        accepted = max([accepted, *map(int, producer.communicate()[0].split())])
    last = producing(stand, tmp_path / "spool")
    out, _ = last.communicate(timeout=120)
    assert accepted < int(out.split()[0]) <= accepted + 2
    assert_all_predicted(stand.wait_until_finished("md"), moving_frames(600))
    assert not (tmp_path / "spool" / "md").exists()


def test_a_server_that_came_back_empty_gets_what_is_not_in_the_file(
    stand: Stand, tmp_path: Path
) -> None:
    frames = moving_frames(600)
    stand.start_writer()
    stand.start_worker()
    producer = Producer(stand.broker, "md", SPEC, settings=SETTINGS, spool=tmp_path / "spool")
    producer.push(frames[:300])
    stand.wait("md", lambda state: state.watermark == 300)
    stand.kill("w0")
    producer.push(frames[300:500])  # accepted by a server that forgets them
    stand.restart_server(how=signal.SIGKILL, empty=True)
    stand.start_worker()
    producer.push(frames[500:])
    assert producer.seal() == 600
    file = stand.wait_until_finished("md")
    assert_all_predicted(file, frames)
    assert producer.settle()


def test_a_server_that_came_back_behind_a_trimmed_spool_is_told_by_the_writer(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither has the frames between but the file, and nothing is in flight."""
    monkeypatch.setattr("stream.spool.SEGMENT_BYTES", 8000)
    monkeypatch.setattr("stream.forwarding.LOOK_S", 0.0)
    stand.start_writer()
    stand.start_worker()
    frames = moving_frames(200)
    producer = Producer(
        stand.broker, "md", SPEC, settings=SETTINGS, spool=tmp_path / "spool", deadline_s=60.0
    )
    producer.push(frames[:50])
    stand.wait("md", lambda s: s.watermark == 50)  # type: ignore[attr-defined]
    shutil.copytree(stand.folder / "data", tmp_path / "older")
    for first, end in ((50, 150), (150, 160)):  # with the second it sees how far the file is
        producer.push(frames[first:end])
        stand.wait("md", lambda s, end=end: s.watermark == end)  # type: ignore[misc]
    stand.restart_server(how=signal.SIGKILL, older=tmp_path / "older")
    assert stand.broker.run("md").next_index == 50  # type: ignore[union-attr]
    producer.push(frames[160:])
    assert producer.seal() == 200
    assert_all_predicted(stand.wait_until_finished("md"), frames)
    assert producer.settle()


def test_a_pushed_pipe_that_was_killed_is_brought_home_from_the_spool(
    stand: Stand, tmp_path: Path
) -> None:
    lines = demo_trajectory().read_text().splitlines(keepends=True)
    size = int(lines[0]) + 2
    words = [sys.executable, "-m", "edgestream", "push", "-", "--run", "md", "--redis-url"]
    words += [stand.url, "--spool", str(tmp_path / "spool"), *settings_as_options(SETTINGS)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(lines[: 30 * size]))
        process.stdin.flush()
        stand.wait("md", lambda state: state.next_index > 0)
        process.kill()
    stand.restart_server(how=signal.SIGKILL, empty=True)  # all that was pushed is gone
    stand.start_writer()
    stand.start_worker()
    done = subprocess.run(
        [*words, "--resume", "--json"], input="", capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr  # nothing new came; the run may be resumed again
    assert "holds no frame" in done.stderr
    file = stand.wait_until_finished("md")
    assert 0 < len(file) <= 30
    assert not (tmp_path / "spool" / "md").exists()
