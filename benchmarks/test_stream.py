"""What the road costs: a block of 69-atom frames and a live frame, from push to commit.

pytest benchmarks/test_stream.py --benchmark-disable-gc. Times are of this process; those of the
server are in its INFO commandstats. Divide by FRAMES.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from edgestream.embedded import EmbeddedServer
from stream.broker import Completion, Entry, Opened
from stream.codec import Array, decode, encode
from stream.messages import FrameBlock, ResultBlock, RunSpec, join_sites, join_structures
from stream.redis_broker import RedisBroker
from stream.settings import Settings
from xas.structure import StructureBatch

FRAMES = 118  # as many of 69 atoms as the default block holds
ATOMS, ENERGIES = 69, 226
SETTINGS = Settings(high_water_bytes=2**40)


def structures(n: int) -> StructureBatch:
    rng = np.random.default_rng(1)
    numbers = np.tile(rng.choice([1, 6, 7, 8], ATOMS), n)
    positions = rng.normal(0.0, 4.0, (n * ATOMS, 3))
    return StructureBatch.from_arrays(numbers, positions, np.arange(n + 1) * ATOMS)


def block(n: int, first: int = 0) -> FrameBlock:
    return FrameBlock.of(structures(n), run="md", first=first, model="fe-k", t_pushed=1.0)


def result(n: int) -> ResultBlock:
    values = Array.of(np.ones((n, ENERGIES), dtype=np.float32))
    return ResultBlock(
        run="md", first=0, n_frames=n, model="", t_predicted=1.0, ours=True, reasons={},
        status=Array.of(np.ones(n, np.uint8)), t_pushed=Array.of(np.ones(n)),
        site_frame=Array.of(np.arange(n, dtype="<i4")), site_atom=Array.of(np.zeros(n, "<i4")),
        intensity=values, errors=values, novelty=Array.of(np.ones(n, np.float32)),
    )  # fmt: skip


class Road:
    """A run on a real server, and the three who work on it."""

    def __init__(self, broker: RedisBroker) -> None:
        self.broker, self.next = broker, 0
        self.opened: Opened = broker.open_run(
            "md", RunSpec(model="fe-k"), run_id="me", resume=False
        )
        self.lease = broker.acquire(0, "me", above=0)

    def push(self, payload: bytes, n: int) -> None:
        self.next = self.broker.push(self.opened, self.next, n, payload)

    def take(self) -> list[Entry]:
        return self.broker.read("w", block_s=0, enough_bytes=2**30)

    def complete(self, entries: list[Entry], answer: bytes) -> None:
        self.broker.complete("w", [Completion(entries=entries, result=answer)])

    def write(self) -> None:
        found = self.broker.results(self.lease, "0", block_s=0)
        self.broker.commit(self.lease, "md", self.next, found)


@pytest.fixture
def road() -> Iterator[Road]:
    with EmbeddedServer() as server:
        broker = RedisBroker(server.url, SETTINGS)
        broker.read("w", block_s=0)
        yield Road(broker)
        broker.close()


@pytest.mark.parametrize("n", [1, FRAMES])
def test_encoding_frames(benchmark: Any, n: int) -> None:
    batch = structures(n)
    benchmark(lambda: encode(FrameBlock.of(batch, run="md", first=0, model="fe-k", t_pushed=1.0)))


@pytest.mark.parametrize(("blocks", "n"), [(1, FRAMES), (FRAMES, 1)])
def test_decoding_frames_of_a_batch(benchmark: Any, blocks: int, n: int) -> None:
    payloads = [encode(block(n, first=n * i)) for i in range(blocks)]

    def decode_all() -> tuple[StructureBatch, object]:
        found = [decode(payload, FrameBlock) for payload in payloads]
        return join_structures(found), join_sites(found)

    assert len(benchmark(decode_all)[0]) == FRAMES


def test_encoding_a_result(benchmark: Any) -> None:
    message = result(FRAMES)
    benchmark(lambda: encode(message))


@pytest.mark.parametrize("n", [1, FRAMES])
def test_pushing(benchmark: Any, road: Road, n: int) -> None:
    payload = encode(block(n))
    benchmark.pedantic(lambda: road.push(payload, n), rounds=500, warmup_rounds=20)


@pytest.mark.parametrize(("blocks", "n"), [(1, FRAMES), (FRAMES, 1)])
def test_the_whole_road(benchmark: Any, road: Road, blocks: int, n: int) -> None:
    """Push, read, complete and commit FRAMES frames."""
    payload, answer = encode(block(n)), encode(result(FRAMES))
    rounds = count()

    def there() -> None:
        next(rounds)
        for _ in range(blocks):
            road.push(payload, n)
        road.complete(road.take(), answer)
        road.write()

    benchmark.pedantic(there, rounds=100, warmup_rounds=5)
    state = road.broker.run("md")
    assert state is not None
    assert (state.watermark, state.held_bytes) == (FRAMES * next(rounds), 0)
