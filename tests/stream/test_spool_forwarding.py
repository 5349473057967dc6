"""A producer with a spool on a broker in memory that goes away, forgets and fills."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from forgetful import Disk, Server
from rigs import ROOM, SPEC

from stream.codec import decode
from stream.messages import FrameBlock
from stream.producer import Producer
from stream.settings import Settings
from xas.errors import (
    Backpressure,
    Fenced,
    Reject,
    RunForgotten,
    RunRefused,
    ServerUnreachable,
    StorageFailed,
)
from xas.structure import Sites

SETTINGS = Settings(block_atoms=10, high_water_bytes=10**6, spool_bytes=10**6, spool_sync_s=0)


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(SETTINGS, clock)


@pytest.fixture
def disk(server: Server) -> Disk:
    return Disk(server)


Start = Callable[..., Producer]


@pytest.fixture
def start(server: Server, clock: Clock, tmp_path: Path) -> Start:
    """Start a producer on the spool; the one before is dead, as after kill -9."""
    before: list[Producer] = []
    said: list[str] = []

    def make(**options: object) -> Producer:
        for dead in before:
            dead._forwarder._spool._close_lock()  # type: ignore[union-attr]
        given = {"settings": server.settings, "clock": clock, "timer": clock, "sleep": clock.sleep}
        given |= {"tell": said.append, "spool": tmp_path / "spool"}
        before[:] = [Producer(server, "md", SPEC, **given | options)]  # type: ignore[arg-type]
        before[0].said = said  # type: ignore[attr-defined]
        return before[0]

    return make


FRAMES = iron_oxides(200)


def give(producer: Producer, n: int) -> None:
    """Frames that follow those which the producer has, one by one."""
    for k in range(producer.next_index, producer.next_index + n):
        producer.push(FRAMES[k : k + 1])


def test_frames_go_on_at_once_and_leave_the_disk_when_they_are_in_the_file(
    start: Start, server: Server, disk: Disk, clock: Clock, tmp_path: Path
) -> None:
    server.settings = replace(SETTINGS, spool_bytes=20_000)
    producer = start()
    for _ in range(5):
        give(producer, 20)
        assert server.run("md").next_index == producer.next_index
        disk.write()
        clock.sleep(2.0)
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.blocks")) < 20_000
    assert producer.seal() == 100
    assert not producer.settle() or disk.watermark == 100
    disk.write()
    assert producer.settle()
    assert not (tmp_path / "spool" / "md").exists()
    disk.assert_is(FRAMES[:100])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_producer_killed_around_its_push_goes_on_behind_the_last_frame_accepted(
    start: Start, server: Server, disk: Disk, when: str
) -> None:
    producer = start()
    give(producer, 5)
    server.failures = (when,)
    give(producer, 1)  # accepted; the server may have it or not, the producer dies now
    producer = start(resume=True)
    assert producer.next_index == 6
    give(producer, 4)
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:10])


def test_frames_are_accepted_while_the_server_is_away(
    start: Start, server: Server, disk: Disk, clock: Clock
) -> None:
    producer = start()
    give(producer, 3)
    server.away = True
    give(producer, 30)
    assert producer.next_index == 33
    server.away = False
    clock.sleep(60)
    give(producer, 1)
    assert server.run("md").next_index == 34
    assert producer.seal() == 34
    disk.write()
    disk.assert_is(FRAMES[:34])
    assert producer.said[0] == "run 'md': no answer; trying again"  # type: ignore[attr-defined]
    assert "going on" in producer.said[1]  # type: ignore[attr-defined]


def test_a_server_that_is_away_is_not_asked_with_every_frame(
    start: Start, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer, asked = start(), []

    def away(*_: object) -> int:
        asked.append(1)
        raise ServerUnreachable("no answer")

    monkeypatch.setattr(server, "push", away)
    give(producer, 50)
    assert len(asked) == 1


def test_a_server_that_came_back_empty_gets_everything_again(
    start: Start, server: Server, disk: Disk, clock: Clock
) -> None:
    producer = start()
    give(producer, 20)
    server.forget()
    clock.sleep(5)
    give(producer, 1)
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:21])


def test_a_server_that_came_back_older_gets_what_it_lacks_from_the_middle_of_a_block(
    start: Start, server: Server, disk: Disk, clock: Clock
) -> None:
    producer = start()
    n = 12
    sites = Sites(np.arange(n), np.zeros(n, dtype=int))
    producer._settings = replace(SETTINGS, block_atoms=1000)
    producer.push(FRAMES[:n], np.arange(n) * 4.0, sites)
    server._update("md", next_index=5)
    server._shard_of("md").frames["live"].entries.clear()
    for k in range(5):
        disk.rows[k] = FRAMES[k : k + 1].positions
    give(producer, 1)
    first = next(iter(server._shard_of("md").frames["live"].entries.values()))
    block = decode(first.payload, FrameBlock)
    assert (first.first, block.first, block.n_frames) == (5, 5, 7)
    assert block.frame_times().tolist() == (4.0 * np.arange(5, 12)).tolist()
    assert block.sites().structure.tolist() == [*range(7)]
    disk.write()
    disk.assert_is(FRAMES[:13])


def trimmed_to(start: Start, server: Server, disk: Disk, clock: Clock) -> Producer:
    """A producer whose spool begins above 0."""
    server.settings = replace(SETTINGS, spool_bytes=40_000)
    producer = start(deadline_s=40.0)
    give(producer, 60)
    disk.write()
    clock.sleep(2.0)
    give(producer, 10)
    assert producer._forwarder._spool.first > 30  # type: ignore[union-attr]
    return producer


def test_a_server_that_is_older_than_the_spool_is_waited_for_until_the_writer_has_spoken(
    start: Start, server: Server, disk: Disk, clock: Clock
) -> None:
    producer = trimmed_to(start, server, disk, clock)
    server.forget(down_to=30)
    give(producer, 5)  # no gap is pushed, and nothing fails
    assert server.run("md").next_index == 30
    disk.adopt()
    clock.sleep(20.0)
    give(producer, 5)
    assert server.run("md").next_index == 80
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:80])


@pytest.mark.parametrize("crashed", [False, True])
def test_waiting_for_the_writer_ends_at_the_deadline_and_names_the_remedy(
    start: Start, server: Server, disk: Disk, clock: Clock, crashed: bool
) -> None:
    producer = trimmed_to(start, server, disk, clock)
    server.forget(down_to=30)
    with pytest.raises(RunForgotten, match=r"expects frame 30.*begins at \d+.*edgestream writer"):
        start(resume=True, deadline_s=40.0) if crashed else producer.seal()
    assert server.run("md").next_index == 30


def test_a_producer_that_crashed_waits_for_the_writer_too(
    start: Start, server: Server, disk: Disk, clock: Clock
) -> None:
    trimmed_to(start, server, disk, clock)
    server.forget(down_to=30)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        waits.append(seconds)
        if len(waits) == 5:
            disk.adopt()

    producer = start(resume=True, sleep=sleep)
    assert (producer.next_index, len(waits)) == (70, 5)
    give(producer, 5)
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:75])


def full(server: Server) -> None:
    server.settings = replace(SETTINGS, spool_bytes=4000, high_water_bytes=1500 * ROOM)


def test_a_full_spool_blocks_until_the_file_has_caught_up(
    start: Start, server: Server, disk: Disk, clock: Clock
) -> None:
    full(server)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        disk.write()

    producer = start(sleep=sleep)
    give(producer, 100)
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:100])


@pytest.mark.parametrize("away", [False, True])
def test_blocking_ends_at_the_deadline_and_what_was_accepted_stays(
    start: Start, server: Server, disk: Disk, clock: Clock, away: bool
) -> None:
    full(server)
    producer, began = start(deadline_s=7.0), clock()
    server.away = away
    with pytest.raises(ServerUnreachable if away else Backpressure):
        give(producer, 100)
    assert 7.0 <= clock() - began < 13.0
    n = producer.next_index
    assert n > 10
    server.away, server.settings = False, SETTINGS
    producer = start(resume=True)
    assert producer.next_index == n
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:n])


@pytest.mark.parametrize("away", [False, True])
def test_a_producer_that_must_not_wait_is_told_that_the_spool_is_full(
    start: Start, server: Server, clock: Clock, away: bool
) -> None:
    full(server)
    producer, began = start(policy="raise"), clock()
    server.away = away
    with pytest.raises(Backpressure, match=r"spool/md is full with \d+ bytes.*spool_bytes"):
        give(producer, 100)
    assert clock() == began
    assert producer.next_index > 10


@pytest.mark.parametrize("crashed", [False, True])
def test_frames_dropped_while_the_server_was_away_are_counted_with_their_times(
    start: Start, server: Server, disk: Disk, clock: Clock, crashed: bool
) -> None:
    full(server)
    producer = start(policy="drop")
    server.away = True
    times = []
    for _ in range(60):
        before = producer.next_index
        producer.push(FRAMES[before : before + 1])
        times += [clock()] if producer.next_index == before else []
        clock.sleep(1.0)
    kept = producer.next_index
    assert 10 < kept < 60
    server.away = False
    clock.sleep(300.0)
    server.settings = SETTINGS
    producer = start(resume=True) if crashed else producer
    assert producer.seal() == kept
    state = server.run("md")
    assert (state.dropped, state.next_index) == (60 - kept, kept)
    assert (state.dropped_first, state.dropped_last) == (times[0], times[-1])
    disk.write()
    disk.assert_is(FRAMES[:kept])


def test_a_disk_that_refuses_accepts_nothing_and_loses_nothing(
    start: Start, server: Server, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = start()
    give(producer, 5)

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", refuse)
        with pytest.raises(StorageFailed, match="No space left on device"):
            give(producer, 1)
    assert producer.next_index == 5
    give(producer, 5)
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:10])


def test_two_producers_cannot_share_a_spool(start: Start, server: Server, tmp_path: Path) -> None:
    producer = start()
    give(producer, 2)
    with pytest.raises(RunRefused, match="in use by process"):
        Producer(server, "md", SPEC, resume=True, spool=tmp_path / "spool")
    give(producer, 2)
    assert producer.next_index == 4


def test_a_producer_fenced_by_another_keeps_its_frames(start: Start, server: Server) -> None:
    producer = start()
    give(producer, 2)
    other = Producer(server, "md", SPEC, resume=True, settings=SETTINGS)
    with pytest.raises(Fenced):
        give(producer, 1)
    with pytest.raises(RunRefused, match="frames 2 to 2 of it were never pushed"):
        start(resume=True)
    other.push(FRAMES[2:3])
    assert start(resume=True).next_index == 3


def test_a_spool_with_frames_is_not_begun_anew(start: Start) -> None:
    give(start(), 4)
    with pytest.raises(RunRefused, match=r"holds frames 0 to 3 of run 'md': resume it"):
        start()


def test_the_spool_of_another_run_of_that_name_is_refused(
    start: Start, server: Server, disk: Disk
) -> None:
    give(start(), 4)
    server.forget()
    server.open_run("md", SPEC, run_id="another", resume=False)
    with pytest.raises(RunRefused, match="belongs to another run of the name 'md'"):
        start(resume=True)


def test_the_spool_of_a_run_that_is_finished_is_cleared(
    start: Start, server: Server, disk: Disk, tmp_path: Path
) -> None:
    producer = start()
    give(producer, 4)
    producer.seal()
    disk.write()
    server.finish(server.acquire(0, "me", above=0), "md")
    producer.close()
    with pytest.raises(RunRefused, match="complete with 4 frames"):
        start(resume=True)
    assert not [*(tmp_path / "spool").iterdir()]


def test_another_runs_producer_clears_what_is_finished_and_nothing_else(
    start: Start, server: Server, disk: Disk, tmp_path: Path, clock: Clock
) -> None:
    producer = start()
    give(producer, 4)
    producer.close()
    options = {"spool": tmp_path / "spool", "settings": SETTINGS, "timer": clock}
    Producer(server, "second", SPEC, **options).close()  # type: ignore[arg-type]
    assert (tmp_path / "spool" / "md").exists()
    producer = start(resume=True)
    producer.seal()
    disk.write()
    server.finish(server.acquire(0, "me", above=0), "md")
    producer.close()
    Producer(server, "third", SPEC, **options).close()  # type: ignore[arg-type]
    assert sorted(p.name for p in (tmp_path / "spool").iterdir()) == ["second", "third"]


def test_a_server_that_forgets_between_seal_and_file_gets_frames_and_seal_again(
    start: Start, server: Server, disk: Disk, clock: Clock, tmp_path: Path
) -> None:
    producer = start()
    give(producer, 7)
    producer.seal(interrupted=True)
    server.forget()
    while not producer.settle():
        clock.sleep(1.0)
        if server.run("md").sealed is not None:
            disk.write()
    assert server.run("md").interrupted
    disk.assert_is(FRAMES[:7])
    assert not (tmp_path / "spool" / "md").exists()


def test_a_producer_that_died_after_its_seal_is_resumed_until_the_file_has_all(
    start: Start, server: Server, disk: Disk, clock: Clock, tmp_path: Path
) -> None:
    producer = start()
    give(producer, 7)
    producer.seal()
    producer = start(resume=True)
    assert (producer.next_index, producer.seal(), producer.settle()) == (7, 7, False)
    with pytest.raises(RunRefused, match="complete with 7 frames"):
        give(producer, 1)
    server.forget()
    while not producer.settle():
        clock.sleep(1.0)
        if server.run("md").sealed is not None:
            disk.write()
    disk.assert_is(FRAMES[:7])
    assert not (tmp_path / "spool" / "md").exists()


def test_damage_below_what_the_server_has_costs_nothing(
    start: Start, server: Server, disk: Disk, tmp_path: Path
) -> None:
    producer = start()
    give(producer, 5)
    server.away = True
    give(producer, 5)
    server.away = False
    (path,) = tmp_path.rglob("*.blocks")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    producer = start(resume=True)
    assert producer.next_index == 10
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:10])


def test_damage_above_what_the_server_has_is_pushed_again_by_whoever_resumes(
    start: Start, server: Server, disk: Disk, tmp_path: Path
) -> None:
    producer = start()
    server.away = True
    give(producer, 10)
    server.away = False
    (path,) = tmp_path.rglob("*.blocks")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    producer = start(resume=True)
    assert 3 <= producer.next_index <= 6
    assert "is damaged: frames" in producer.said[-1]  # type: ignore[attr-defined]
    give(producer, 10 - producer.next_index)
    producer.seal()
    disk.write()
    disk.assert_is(FRAMES[:10])


def test_a_refused_opening_leaves_no_spool_behind(server: Server, tmp_path: Path) -> None:
    server.push(server.open_run("md", SPEC, run_id="x", resume=False), 0, 1, b"frame")
    with pytest.raises(Reject, match="holds 1 frames already"):
        Producer(server, "md", SPEC, spool=tmp_path / "spool")
    assert not [*(tmp_path / "spool").iterdir()]
