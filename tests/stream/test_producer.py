from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from rigs import ROOM, SPEC

from stream.broker import Completion, Entry, Opened
from stream.codec import decode
from stream.memory_broker import MemoryBroker
from stream.messages import FrameBlock, RunSpec
from stream.producer import Producer
from stream.settings import Settings
from xas.errors import Backpressure, Fenced, RunForgotten, RunRefused, ServerUnreachable
from xas.structure import Sites, StructureBatch


class Flaky(MemoryBroker):
    """A server that goes away, before or after it has done what it was asked."""

    failures: tuple[str, ...] = ()

    def push(self, opened: Opened, first: int, n_frames: int, payload: bytes) -> int:
        failure, *self.failures = self.failures or ("",)  # type: ignore[assignment]
        if failure == "before":
            raise ServerUnreachable("no answer")
        answer = super().push(opened, first, n_frames, payload)
        if failure == "after":
            raise ServerUnreachable("no answer")
        return answer

    def forget(self) -> None:
        """Come back empty."""
        self.__init__(self.settings, self._clock)  # type: ignore[misc]


SETTINGS = Settings(block_atoms=10, high_water_bytes=2000 * ROOM)


@pytest.fixture
def broker(clock: Clock) -> Flaky:
    return Flaky(SETTINGS, clock)


def producer_of(broker: MemoryBroker, clock: Clock, **options: object) -> Producer:
    said: list[str] = []
    given = {"settings": broker.settings, "clock": clock, "sleep": clock.sleep}
    producer = Producer(broker, "md", SPEC, **given | {"tell": said.append} | options)  # type: ignore[arg-type]
    producer.said = said  # type: ignore[attr-defined]
    return producer


def drain(broker: MemoryBroker) -> list[FrameBlock]:
    """Everything in the stream, put on disk at once."""
    entries = broker.read("w", block_s=0)
    broker.complete("w", [Completion(entries=[e], result=b"") for e in entries])
    lease = broker.acquire(0, "me", above=0)
    for result in broker.results(lease, "0", block_s=0):
        broker.commit(lease, "md", result.first + result.n_frames, [result])
    broker.yield_lease(lease)
    return [decode(e.payload, FrameBlock) for e in entries]


def sent(broker: MemoryBroker) -> StructureBatch:
    return StructureBatch.concatenate([b.structures() for b in drain(broker)])


def entries(broker: MemoryBroker) -> list[Entry]:
    return broker.read("w", block_s=0)


def test_frames_arrive_in_blocks_of_bounded_size(broker: Flaky, clock: Clock) -> None:
    broker.settings = replace(SETTINGS, high_water_bytes=10**6)
    frames = iron_oxides(20)
    producer_of(broker, clock).push(frames)
    blocks = drain(broker)
    assert all(b.structures().n_atoms <= 10 for b in blocks)
    assert [b.first for b in blocks] == np.cumsum([0, *(b.n_frames for b in blocks)])[:-1].tolist()
    joined = StructureBatch.concatenate([b.structures() for b in blocks])
    np.testing.assert_array_equal(joined.positions, frames.positions)
    np.testing.assert_array_equal(joined.offsets, frames.offsets)


def test_a_frame_above_the_bound_travels_alone(broker: Flaky, clock: Clock) -> None:
    broker.settings = replace(SETTINGS, block_atoms=1)
    producer_of(broker, clock).push(iron_oxides(5))
    assert [b.n_frames for b in drain(broker)] == [1] * 5


def test_times_and_absorbers_stay_with_their_frames(broker: Flaky, clock: Clock) -> None:
    frames, n = iron_oxides(9), 9
    sites = Sites(np.repeat(np.arange(n), 2), np.tile([0, 1], n))
    producer_of(broker, clock).push(frames, np.arange(n) * 4.0, sites)
    for block in drain(broker):
        own = block.sites()
        assert own is not None
        assert own.structure.tolist() == np.repeat(np.arange(block.n_frames), 2).tolist()
        assert own.atom.tolist() == [0, 1] * block.n_frames
        expected = 4.0 * np.arange(block.first, block.first + block.n_frames)
        np.testing.assert_array_equal(block.frame_times(), expected)


def test_nothing_pushed_is_nothing_sent(broker: Flaky, clock: Clock) -> None:
    producer = producer_of(broker, clock)
    producer.push(iron_oxides(3)[:0])
    assert (entries(broker), producer.seal()) == ([], 0)


def test_a_full_run_is_waited_for(broker: Flaky, clock: Clock) -> None:
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) % 3 == 0:
            drain(broker)

    producer = producer_of(broker, clock, sleep=sleep)
    producer.push(iron_oxides(60))
    assert waits
    assert (producer.next_index, producer.seal()) == (60, 60)
    assert producer.said == []  # type: ignore[attr-defined]


def test_waiting_ends_at_the_deadline(broker: Flaky, clock: Clock) -> None:
    started = clock()
    producer = producer_of(broker, clock, deadline_s=5.0)
    with pytest.raises(Backpressure, match="accepted and not yet on disk"):
        producer.push(iron_oxides(100))
    assert 5.0 <= clock() - started < 6.0
    assert broker.run("md").next_index == producer.next_index > 0


def test_a_producer_that_must_not_wait_raises_at_once(broker: Flaky, clock: Clock) -> None:
    producer = producer_of(broker, clock, policy="raise")
    started = clock()
    with pytest.raises(Backpressure):
        producer.push(iron_oxides(100))
    assert clock() == started
    drain(broker)
    producer.push(iron_oxides(100)[producer.next_index : producer.next_index + 3])


def test_dropped_frames_are_counted_and_leave_no_gap(broker: Flaky, clock: Clock) -> None:
    producer = producer_of(broker, clock, policy="drop")
    producer.push(iron_oxides(100))
    kept = producer.next_index
    state = broker.run("md")
    assert 0 < kept < 100
    assert (state.dropped, state.next_index) == (100 - kept, kept)
    drain(broker)
    producer.push(iron_oxides(3))
    assert drain(broker)[0].first == kept
    assert producer.seal() == kept + 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_that_goes_away_takes_every_frame_once(
    broker: Flaky, clock: Clock, when: str
) -> None:
    broker.failures = (when, "", when, when, "")
    producer = producer_of(broker, clock)
    frames = iron_oxides(8)
    producer.push(frames)
    np.testing.assert_array_equal(sent(broker).positions, frames.positions)
    assert producer.said[0] == "run 'md': no answer; trying again"  # type: ignore[attr-defined]
    assert "going on" in producer.said[1]  # type: ignore[attr-defined]


def test_a_server_that_stays_away_is_given_up(broker: Flaky, clock: Clock) -> None:
    broker.failures = ("before",) * 1000
    with pytest.raises(ServerUnreachable):
        producer_of(broker, clock, deadline_s=30.0).push(iron_oxides(1))


def test_a_newer_producer_stops_an_older_one(broker: Flaky, clock: Clock) -> None:
    older = producer_of(broker, clock)
    older.push(iron_oxides(2))
    newer = producer_of(broker, clock, resume=True)
    assert newer.next_index == 2
    with pytest.raises(Fenced, match="another producer"):
        older.push(iron_oxides(2))
    with pytest.raises(Fenced):
        older.seal()
    newer.push(iron_oxides(2))
    assert newer.seal() == 4


def test_a_sealed_run_is_refused(broker: Flaky, clock: Clock) -> None:
    producer = producer_of(broker, clock)
    producer.push(iron_oxides(2))
    producer.seal()
    with pytest.raises(RunRefused, match="complete with 2 frames"):
        producer.push(iron_oxides(2))
    with pytest.raises(RunRefused, match="complete with 2 frames"):
        producer_of(broker, clock, resume=True)


def test_another_request_for_a_run_is_refused(broker: Flaky, clock: Clock) -> None:
    producer_of(broker, clock)
    with pytest.raises(RunRefused, match="model 'tiny'"):
        Producer(broker, "md", RunSpec(model="other"), resume=True)


def test_an_interrupted_run_goes_on_where_it_stopped(broker: Flaky, clock: Clock) -> None:
    first = producer_of(broker, clock)
    first.push(iron_oxides(4))
    assert first.seal(interrupted=True) == 4
    second = producer_of(broker, clock, resume=True)
    second.push(iron_oxides(3, first=second.next_index))
    assert second.seal() == 7
    np.testing.assert_array_equal(sent(broker).positions, iron_oxides(7).positions)


def test_a_server_that_forgot_the_frames_asks_for_them_again(broker: Flaky, clock: Clock) -> None:
    producer = producer_of(broker, clock)
    producer.push(iron_oxides(4))
    broker.forget()
    with pytest.raises(RunForgotten, match=r"lost frames 0 to 3.*push again from frame 0"):
        producer.push(iron_oxides(2, first=4))
    producer.next_index = 0
    producer.push(iron_oxides(6))
    assert producer.seal() == 6
    np.testing.assert_array_equal(sent(broker).positions, iron_oxides(6).positions)


def test_a_run_whose_frames_were_lost_is_not_sealed_as_complete(
    broker: Flaky, clock: Clock
) -> None:
    producer = producer_of(broker, clock)
    producer.push(iron_oxides(4))
    broker.forget()
    with pytest.raises(RunForgotten, match="lost frames 0 to 3"):
        producer.seal()
    assert broker.run("md").sealed is None


@pytest.mark.parametrize("resumed", [False, True])
def test_a_server_that_forgot_learns_from_the_file_and_nothing_is_pushed_twice(
    broker: Flaky, clock: Clock, resumed: bool
) -> None:
    producer_of(broker, clock)
    producer = producer_of(broker, clock, resume=True) if resumed else producer_of(broker, clock)
    producer.push(iron_oxides(3))
    broker.forget()
    adopted: list[int] = []

    def adopt_first(opened: Opened, first: int, n: int, payload: bytes) -> int:
        if broker.run("md") is not None and not adopted:
            assert broker.run("md").resumed == resumed  # the writer takes its file by this word
            lease = broker.acquire(0, "me", above=0)
            broker.adopt(lease, "md", n_frames=4, run_id="old", file="f", host="h")
            adopted.append(1)
        return Flaky.push(broker, opened, first, n, payload)

    broker.push = adopt_first  # type: ignore[method-assign]
    producer.push(iron_oxides(3, first=3))
    assert producer.next_index == 6
    assert [(e.first, e.n_frames) for e in entries(broker)] == [(4, 1), (5, 1)]


def test_a_run_is_opened_again_with_patience(broker: Flaky, clock: Clock) -> None:
    producer = producer_of(broker, clock)
    broker.forget()
    open_run, away = broker.open_run, [1, 1]

    def flaky_open(*args: object, **kwargs: object) -> Opened:
        if away:
            away.pop()
            raise ServerUnreachable("still starting")
        return open_run(*args, **kwargs)  # type: ignore[arg-type]

    broker.open_run = flaky_open  # type: ignore[method-assign]
    producer.push(iron_oxides(2))
    assert producer.seal() == 2
