"""An operator holds producers back: all of them for a drain, or that of one run."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import iron_oxides
from clocks import Clock
from forgetful import Disk, Server
from rigs import SPEC, Rig

from stream.messages import RunSpec
from stream.producer import Producer
from stream.settings import Settings
from xas.errors import HeldBack, RunRefused

BULK = RunSpec(model="tiny", priority="bulk")


def write_all(rig: Rig) -> None:
    """Work and writing go on: everything that was accepted is on disk."""
    rig.complete(*rig.take())
    lease = rig.broker.acquire(0, "writer", above=0)
    for result in rig.broker.results(lease, "0", block_s=0):
        rig.broker.commit(lease, result.run, result.first + result.n_frames, [result])
    rig.broker.yield_lease(lease)


def test_a_drained_service_takes_nothing_and_finishes_what_it_has(rig: Rig) -> None:
    live, bulk = rig.open_run(), rig.open_run("bulk", spec=BULK)
    rig.push(live, 0)
    rig.push(bulk, 0, 2)
    rig.broker.drain()
    for opened, first in ((live, 1), (bulk, 2)):
        with pytest.raises(HeldBack, match="being drained for maintenance"):
            rig.push(opened, first)
    write_all(rig)
    assert [rig.broker.run(r).watermark for r in ("md", "bulk")] == [1, 2]
    assert rig.held("md") == rig.held("bulk") == (0, 0), "a refused block leaves nothing behind"
    assert rig.take() == []
    assert rig.broker.admit()
    assert (rig.push(live, 1), rig.push(bulk, 2)) == (2, 3)


def test_the_shards_say_since_when_they_are_drained(rig: Rig) -> None:
    rig.change(shards=3)
    assert not rig.broker.admit()
    rig.broker.drain()
    since = [s.drained_at for s in rig.broker.shards()]
    assert all(at is not None and at > 1e9 for at in since)
    rig.wait(0.01)
    rig.broker.drain()
    assert [s.drained_at for s in rig.broker.shards()] == since, "again: no change"
    assert rig.broker.admit()
    assert [s.drained_at for s in rig.broker.shards()] == [None] * len(since)


def test_a_push_whose_answer_was_lost_is_answered_during_a_drain(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 3)
    rig.broker.drain()
    assert rig.push(opened, 0, 3) == 3


def test_runs_are_opened_and_sealed_during_a_drain(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0)
    rig.broker.drain()
    assert rig.broker.seal(opened, 1) == 1
    later = rig.open_run("later")
    with pytest.raises(HeldBack):
        rig.push(later, 0)
    rig.broker.admit()
    assert rig.push(later, 0) == 1


def test_dead_letters_are_not_requeued_during_a_drain(rig: Rig) -> None:
    rig.open_run()
    rig.broker.drain()
    with pytest.raises(HeldBack):
        rig.broker.requeue("md", 0, 1, b"letter")
    rig.broker.admit()
    rig.broker.requeue("md", 0, 1, b"letter")
    assert [e.again for e in rig.take()] == [True]


def test_a_paused_run_holds_back_its_own_producer(rig: Rig) -> None:
    paused, free = rig.open_run("paused"), rig.open_run("free")
    rig.push(paused, 0)
    rig.broker.pause("paused")
    with pytest.raises(HeldBack, match=r"'paused' is paused .* \(edgestream resume paused\)"):
        rig.push(paused, 1)
    assert rig.push(free, 0) == 1
    write_all(rig)
    assert rig.broker.run("paused").watermark == 1, "what was accepted goes its way"
    assert rig.broker.run("free").paused_at is None
    assert {s.run for s in rig.broker.runs() if s.paused_at} == {"paused"}


def test_a_paused_run_is_resumed_and_sealed(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0)
    rig.broker.pause("md")
    since = rig.broker.run("md").paused_at
    rig.wait(0.01)
    rig.broker.pause("md")
    assert rig.broker.run("md").paused_at == since > 1e9, "pausing twice is harmless"
    assert rig.broker.resume("md")
    assert not rig.broker.resume("md")
    assert rig.push(opened, 1) == 2
    assert rig.broker.seal(opened, 2) == 2


def test_a_run_stays_paused_when_its_producer_comes_again(rig: Rig) -> None:
    rig.open_run()
    rig.broker.pause("md")
    again = rig.open_run(resume=True)
    with pytest.raises(HeldBack):
        rig.push(again, 0)


def test_only_a_run_that_takes_frames_is_paused(rig: Rig) -> None:
    with pytest.raises(RunRefused, match="'md' is not known here"):
        rig.broker.pause("md")
    rig.broker.seal(rig.open_run(), 0)
    with pytest.raises(RunRefused, match="complete with 0 frames"):
        rig.broker.pause("md")
    with pytest.raises(RunRefused, match="cannot name a run"):
        rig.broker.resume("*")


# -- producers ------------------------------------------------------------------------------------

SETTINGS = Settings(block_atoms=10, high_water_bytes=10**6, spool_bytes=10**6, spool_sync_s=0)


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(SETTINGS, clock)


class Told(Producer):
    """A producer on a server in memory, and what it said."""

    def __init__(self, server: Server, clock: Clock, **options: object) -> None:
        self.said: list[str] = []
        given = {"settings": SETTINGS, "clock": clock, "timer": clock, "sleep": clock.sleep}
        super().__init__(server, "md", SPEC, **given | {"tell": self.said.append} | options)  # type: ignore[arg-type]


def test_a_producer_waits_out_a_drain_and_says_so_once(server: Server, clock: Clock) -> None:
    began = clock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock() - began > 60:
            server.admit()

    server.drain()
    producer = Told(server, clock, sleep=sleep)
    producer.push(iron_oxides(1))
    assert producer.next_index == 1
    held, over = producer.said
    assert "run 'md': the service is being drained for maintenance" in held
    assert "going on after 6" in over


def test_a_producer_waits_for_no_longer_than_its_deadline(server: Server, clock: Clock) -> None:
    producer = Told(server, clock, deadline_s=30.0)
    server.pause("md")
    with pytest.raises(HeldBack, match="is paused"):
        producer.push(iron_oxides(1))
    server.resume("md")
    producer.push(iron_oxides(1))
    assert producer.seal() == 1


def test_a_producer_that_raises_is_told_of_a_pause_at_once(server: Server, clock: Clock) -> None:
    producer = Told(server, clock, policy="raise")
    server.pause("md")
    before = clock()
    with pytest.raises(HeldBack):
        producer.push(iron_oxides(1))
    assert clock() == before


def test_frames_that_are_dropped_in_a_pause_are_counted(server: Server, clock: Clock) -> None:
    producer = Told(server, clock, policy="drop")
    producer.push(iron_oxides(1))
    server.pause("md")
    producer.push(iron_oxides(3))
    server.resume("md")
    producer.push(iron_oxides(1))
    state = server.run("md")
    assert state is not None
    assert (state.dropped, state.next_index, producer.seal()) == (3, 2, 2)


def test_a_spool_takes_frames_while_the_service_is_drained(
    server: Server, clock: Clock, tmp_path: Path
) -> None:
    disk = Disk(server)
    producer = Told(server, clock, spool=tmp_path)
    producer.push(iron_oxides(1))
    server.drain()
    producer.push(iron_oxides(3, first=1))
    disk.write()
    assert (producer.next_index, disk.watermark) == (4, 1)
    assert ["being drained" in line for line in producer.said] == [True]
    server.admit()
    clock.sleep(60)
    assert producer.seal() == 4
    disk.write()
    disk.assert_is(iron_oxides(4))
