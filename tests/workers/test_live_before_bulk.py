"""A live frame overtakes the bulk that is queued and that a worker has in hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from desk import Desk

from stream.broker import Completion, Entry
from stream.codec import decode, encode
from stream.memory_broker import MemoryBroker
from stream.messages import FrameBlock, ResultBlock, RunSpec
from stream.settings import Settings
from workers.batcher import Job, batches
from workers.predictor import Predictor
from workers.worker import LIVE_S

SLICE_ATOMS = 20


class Interrupted(MemoryBroker):
    """A live frame comes with the n-th look for one; what was completed and kept alive."""

    looks, comes_with = 0, 0
    completed: tuple[str, ...] = ()
    beats: tuple[list[str], ...] = ()

    def read_live(self, consumer: str, **options: Any) -> list[Entry]:
        self.looks += 1
        if self.looks == self.comes_with:
            push(self, "live", 1)
            self._clock.sleep(3.0)  # type: ignore[attr-defined]
        return super().read_live(consumer, **options)

    def complete(self, consumer: str, completions: Sequence[Completion]) -> list[bool]:
        self.completed += tuple(c.entries[0].run for c in completions)
        return super().complete(consumer, completions)

    def heartbeat(self, consumer: str, entries: Sequence[Entry]) -> None:
        self.beats += (sorted({e.run for e in entries}),)
        super().heartbeat(consumer, entries)


def push(broker: MemoryBroker, run: str, n: int) -> None:
    """A block of n frames at the end of a run that is named after its priority."""
    spec = RunSpec(model="tiny", priority=run)
    opened = broker.open_run(run, spec, run_id="me", resume=True)
    first = opened.next_index
    block = FrameBlock.of(
        iron_oxides(n, first=first), run=run, first=first, model="tiny", t_pushed=0.0
    )
    broker.push(opened, first, n, encode(block))


@pytest.fixture
def broker(clock: Clock) -> Interrupted:
    return Interrupted(Settings(claim_idle_s=8.0, slice_atoms=SLICE_ATOMS), clock)


@pytest.fixture
def desk(broker: Interrupted, predictor: Predictor, clock: Clock) -> Iterator[Desk]:
    desk = Desk(broker, {"tiny": predictor}, clock)
    yield desk
    desk.close()


def test_a_live_frame_overtakes_a_queued_backfill(desk: Desk, broker: Interrupted) -> None:
    for _ in range(5):
        push(broker, "bulk", 30)
    push(broker, "live", 1)
    desk.work()
    assert broker.completed == ("live", "bulk")


def test_a_live_frame_overtakes_the_bulk_in_hand(desk: Desk, broker: Interrupted) -> None:
    worker = desk.worker()
    push(broker, "live", 1)
    worker.step(0)
    for n in (40, 3, 25):
        push(broker, "bulk", n)
    broker.comes_with = broker.looks + 4
    worker.step(0)
    assert broker.completed == ("live", "live", "bulk")
    assert [(r.first, r.n_frames) for r in bulk_results(broker)] == [(0, 68)]
    assert broker.shards()[0].pending == 0


def test_bulk_in_slices_has_the_same_spectra(
    desk: Desk, broker: Interrupted, predictor: Predictor
) -> None:
    worker = desk.worker()
    push(broker, "live", 1)
    worker.step(0)
    push(broker, "bulk", 40)
    push(broker, "bulk", 9)
    worker.step(0)
    direct = predictor.predict(iron_oxides(49)).intensity
    found = [r.intensity.view("<f4", -1, -1) for r in bulk_results(broker)]
    np.testing.assert_allclose(np.concatenate(found), direct, atol=1e-6, rtol=0)


def bulk_results(broker: MemoryBroker) -> list[ResultBlock]:
    entries = broker.results(broker.acquire(0, "me", above=0), "0", block_s=0)
    return [decode(e.payload, ResultBlock) for e in entries if e.run == "bulk"]


def test_where_no_live_frames_come_bulk_is_predicted_whole(
    desk: Desk, broker: Interrupted, clock: Clock
) -> None:
    worker = desk.worker()
    push(broker, "live", 1)
    worker.step(0)
    clock.sleep(LIVE_S)
    push(broker, "bulk", 100)
    before = broker.looks
    worker.step(0)
    assert broker.looks == before + 1, "only that with which every read begins"


def test_bulk_in_hand_is_kept_alive_while_live_frames_are_served(
    desk: Desk, broker: Interrupted
) -> None:
    worker = desk.worker()
    push(broker, "live", 1)
    worker.step(0)
    push(broker, "bulk", 40)
    broker.comes_with = broker.looks + 3
    worker.step(0)
    assert ["bulk", "live"] in broker.beats


def test_slices_are_the_same_frames_in_order_and_as_large_as_asked_for() -> None:
    jobs = []
    for first, n in ((0, 40), (40, 2), (42, 1), (43, 30)):
        frames = iron_oxides(n, first=first)
        block = FrameBlock.of(frames, run="md", first=first, model="tiny", t_pushed=0.0)
        entry = Entry(stream="0:bulk", id="", run="md", first=first, n_frames=n, payload=b"")
        jobs.append(Job(entry=entry, block=block))
    (whole,) = batches(jobs, 10**6)
    slices = whole.slices(SLICE_ATOMS)
    joined = np.concatenate([part.joined[0].positions for part in slices])
    np.testing.assert_array_equal(joined, whole.joined[0].positions)
    assert all(part.n_atoms <= 1.5 * SLICE_ATOMS for part in slices)
    assert len(slices) < 2 * whole.n_atoms / SLICE_ATOMS + 2
    assert sum(len(part.jobs) == part.n_frames for part in whole.slices(1)) == whole.n_frames
