"""Maintenance: a service is emptied, stopped, restarted and opened again; a run is paused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from stand import SETTINGS, Stand, assert_all_predicted, moving_frames

from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from xas.errors import HeldBack
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes
SPEC = RunSpec(model="fe-k")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def ask(stand: Stand, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """An operator's command, to its end."""
    command = [sys.executable, "-m", "edgestream", *words, "--redis-url", stand.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def end(stand: Stand, name: str) -> int:
    """SIGTERM; the exit code."""
    stand.signal(name, signal.SIGTERM)
    return stand.processes.pop(name).wait(timeout=60)


@contextmanager
def going_on(stand: Stand, frames: StructureBatch) -> Iterator[None]:
    """A producer that pushes the rest of a run and seals it, however long it is held back."""

    def push() -> None:
        broker = RedisBroker(stand.url, SETTINGS)
        producer = Producer(broker, "md", SPEC, settings=SETTINGS, resume=True)
        producer.push(frames[producer.next_index :])
        producer.seal()
        broker.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(push)
        yield
        done.result(timeout=120)


def push_slowly(stand: Stand, producer: Producer, frames: StructureBatch) -> None:
    """Push on as rows come to the disk."""
    for i in range(0, len(frames), 10):
        producer.push(frames[i : i + 10])
        stand.wait("md", lambda state, i=i: state.watermark >= i - 50)


def test_a_drained_service_is_restarted_and_opened_again(stand: Stand) -> None:
    frames = moving_frames(4000)
    stand.start_writer()
    stand.start_worker()
    producer = Producer(stand.broker, "md", SPEC, settings=SETTINGS, policy="raise")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, stand, "drain", "--json", "--timeout", "90")
        with pytest.raises(HeldBack):
            push_slowly(stand, producer, frames[:-10])
        told = json.loads(asked.result().stdout)
    assert told["left"] == {"frames": 0, "blocks": 0, "results": 0, "ending": 0, "held": []}
    state = stand.broker.run("md")
    assert state is not None
    assert state.watermark == state.next_index == producer.next_index
    with going_on(stand, frames):
        assert end(stand, "w0") == end(stand, "writer") == 0
        stand.restart_server(how=signal.SIGTERM)
        trouble = json.loads(ask(stand, "status", "--json").stdout)["trouble"]
        assert ["drained since" in line for line in trouble].count(True) == 1
        stand.start_writer()
        stand.start_worker()
        stand.wait_for_workers(1)
        stand.wait("md", lambda later: later.next_index == producer.next_index)
        assert "let in again" in ask(stand, "drain", "--release").stdout
    assert_all_predicted(stand.wait_until_finished("md"), frames)


def test_a_drain_in_vain_says_what_holds_it_and_keeps_the_gate_shut(stand: Stand) -> None:
    producer = Producer(stand.broker, "md", SPEC, policy="raise")
    producer.push(moving_frames(3))
    done = ask(stand, "drain", "--timeout", "0.5", "--json", code=3)
    (line,) = done.stderr.splitlines()
    for part in ("3 frames are not on disk", "no worker runs", "no writer", "--release"):
        assert part in line
    assert json.loads(done.stdout)["left"]["frames"] == 3
    assert stand.broker.shards()[0].drained_at is not None
    assert "not drained" not in ask(stand, "drain", "--release").stdout
    assert "not drained" in ask(stand, "drain", "--release").stdout


def test_a_paused_run_waits_and_is_then_finished(stand: Stand) -> None:
    frames = moving_frames(600)
    stand.start_writer()
    stand.start_worker()
    Producer(stand.broker, "md", SPEC, settings=SETTINGS).push(frames[:50])
    ask(stand, "pause", "md")
    with going_on(stand, frames):
        stand.wait("md", lambda state: state.watermark == 50)
        assert "TROUBLE  run 'md' is paused since" in ask(stand, "status").stdout
        stand.wait("md", lambda state: state.next_index == 50)
        assert "goes on" in ask(stand, "resume", "md").stdout
    assert_all_predicted(stand.wait_until_finished("md"), frames)
    assert "complete with 600 frames" in ask(stand, "pause", "md", code=2).stderr


def test_a_terminated_worker_finishes_its_batch_and_a_writer_what_it_can(stand: Stand) -> None:
    n = 6000
    stand.start_writer()
    stand.start_worker()
    with stand.pushing("md", moving_frames(n)):
        stand.wait("md", lambda state: state.watermark > 200)
        assert end(stand, "w0") == 0
        (shard,) = stand.broker.shards()
        assert shard.pending == 0, "nothing is left in its hands"
        assert stand.broker.workers() == []
        assert end(stand, "writer") == 0
    (shard,) = stand.broker.shards()
    assert (shard.results, shard.pending) == (0, 0)
    assert shard.waiting["live"] > 0, "it did not go on to the end either"
    assert not shard.writer_alive
    state = stand.broker.run("md")
    assert state is not None
    entries = stand.broker.read("heir", block_s=0.1, enough_bytes=2**30)
    assert min(entry.first for entry in entries) == state.watermark, "each frame in one place"
