"""A writer that stands still under ten times what may be held: the server's memory is bounded."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from stand import SETTINGS, Stand, assert_all_predicted, moving_frames

from edgestream.bench.server_info import server_info
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes
MARK = 1_000_000
TIGHT = replace(SETTINGS, high_water_bytes=MARK)
# what the server needs for a byte that it holds: keys, entries, its allocator's rounding
OVERHEAD, OVERHEAD_BYTES = 1.5, 2**20


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def push_all(stand: Stand, run: str, frames: StructureBatch) -> None:
    broker = RedisBroker(stand.url, TIGHT)
    producer = Producer(broker, run, RunSpec(model="fe-k"), settings=TIGHT, deadline_s=120)
    producer.push(frames)
    producer.seal()
    broker.close()


def used_memory(stand: Stand) -> int:
    return int(server_info(str(stand.server.socket), "memory")["used_memory"])


def is_full(stand: Stand) -> bool:
    """Whether the producers wait, and the workers have nothing left to do."""
    (shard,) = stand.broker.shards()
    return min(held_bytes(stand)) > 0.7 * MARK and not sum(shard.waiting.values())


def held_bytes(stand: Stand) -> list[int]:
    """Of each run."""
    states = [stand.broker.run(run) for run in ("a", "b")]
    return [s.held_bytes if s is not None else 0 for s in states]


def test_a_stopped_writer_bounds_the_server_and_the_other_priority_goes_on(stand: Stand) -> None:
    frames = moving_frames(4000)
    bytes_of_results = 8 * 226 * len(frames)
    assert bytes_of_results > 7 * MARK, "with the frames themselves some 10 marks"
    stand.start_writer()
    stand.start_worker()
    push_all(stand, "first", frames[:50])
    stand.wait_until_finished("first")
    before = used_memory(stand)
    stand.signal("writer", signal.SIGSTOP)
    with ThreadPoolExecutor(2) as pool:
        pushed = [pool.submit(push_all, stand, run, frames) for run in ("a", "b")]
        stand.wait("b", lambda _: is_full(stand))
        assert max(held_bytes(stand)) <= MARK, "results too: a push took room for them"
        assert used_memory(stand) - before < OVERHEAD * 2 * MARK + OVERHEAD_BYTES
        spec = RunSpec(model="fe-k", priority="bulk")
        free = Producer(stand.broker, "free", spec, settings=TIGHT, policy="raise")
        free.push(frames[:100])
        assert free.seal() == 100, "it is not slowed"
        stand.wait("free", lambda _: is_full(stand))
        stand.signal("writer", signal.SIGCONT)
        for done in pushed:
            done.result(timeout=120)
    for run, n in (("a", 4000), ("b", 4000), ("free", 100)):
        assert_all_predicted(stand.wait_until_finished(run), frames[:n])
