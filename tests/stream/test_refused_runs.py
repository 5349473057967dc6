"""A run that the writer refuses: what it holds stays, counts apart, and has two ways out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from rigs import ROOM, SPEC, Rig
from stage import assert_rows, open_and_push, publish, push, work

from edgestream.status import trouble
from stream.memory_broker import MemoryBroker
from stream.settings import Settings
from stream.writer import Writer
from xas.errors import Backpressure, RunForgotten, RunRefused

FULL = 62  # bytes of frames, which with room for their results fill a mark of 1000


def refused(rig: Rig, run: str, n_bytes: int) -> Any:
    """A run whose frames were accepted before the writer has looked at it; the lease."""
    rig.push(rig.open_run(run), 0, 1, b"x" * n_bytes)
    lease = rig.broker.acquire(0, "me", above=0)
    rig.broker.refuse(lease, run, "another run lies there")
    return lease


def counted(rig: Rig) -> tuple[int, int]:
    """Bytes of the live priority, and of refused runs."""
    (shard,) = rig.broker.shards()
    return shard.held_bytes["live"], shard.refused_bytes


def test_refused_runs_slow_nobody_else(rig: Rig) -> None:
    free = rig.open_run("free")
    for i in range(4):
        refused(rig, f"r{i}", FULL)
        assert counted(rig) == (0, (i + 1) * FULL * ROOM)
    assert rig.push(free, 0, 1, b"x" * FULL) == 1


def test_but_they_do_not_fill_the_server(rig: Rig) -> None:
    for i in range(8):
        refused(rig, f"r{i}", FULL)
    opened = rig.open_run("md")
    with pytest.raises(Backpressure, match=r"'md' waits: the runs of its priority .* are refused"):
        rig.push(opened, 0)
    rig.broker.discard("r0")
    assert rig.push(opened, 0) == 1


def test_what_a_worker_still_finishes_of_a_refused_run_counts_with_it(rig: Rig) -> None:
    refused(rig, "md", 10)
    rig.complete(*rig.take(), result=b"12345")
    assert (rig.broker.run("md").held_bytes, counted(rig)) == (15, (0, 15))


@pytest.mark.parametrize("how", ["opened", "adopted"])
def test_a_run_that_is_taken_after_all_counts_as_before(rig: Rig, how: str) -> None:
    lease = refused(rig, "md", 10)
    rig.broker.refuse(lease, "md", "still")
    if how == "opened":
        rig.open_run("md")
    else:
        rig.broker.adopt(lease, "md", n_frames=0, run_id="me", file="f", host="h")
    assert counted(rig) == (10 * ROOM, 0)
    rig.complete(*rig.take(), result=b"12345")
    rig.broker.commit(lease, "md", 1, rig.broker.results(lease, "0", block_s=0))
    assert (rig.held("md"), counted(rig)) == ((0, 0), (0, 0))


def test_results_come_bare_where_nobody_wants_their_bytes(rig: Rig) -> None:
    lease = refused(rig, "md", 10)
    rig.broker.requeue("md", 0, 1, b"letter")
    rig.push(rig.open_run("free"), 0)
    rig.complete(*rig.take(), dead=[b"d"])
    found = rig.broker.results(lease, "0", block_s=0, bare={"md"})
    wanted = {(r.run, r.again): (r.payload, len(r.frames), len(r.letters)) for r in found}
    full = (b"spectra", 1, 1)
    assert wanted == {("md", False): (b"", 0, 0), ("md", True): full, ("free", False): full}


def test_a_discarded_run_is_forgotten_with_what_it_held(rig: Rig) -> None:
    opened = rig.open_run("md")
    for i in range(3):
        rig.push(opened, i, 1, b"x" * 10)
    lease = rig.broker.acquire(0, "me", above=0)
    first, second, third = rig.take()
    rig.complete(first)
    rig.broker.refuse(lease, "md", "why")
    assert rig.broker.discard("md") == 10 + len(b"spectra") + 20 * ROOM
    assert (rig.broker.run("md"), rig.broker.runs(), rig.broker.open_runs(lease)) == (None, [], [])
    assert counted(rig) == (0, 0)
    assert rig.complete(second, third) == [True, True], "what was in hand harms nobody"
    assert counted(rig) == (0, 0)
    for result in rig.broker.results(lease, "0", block_s=0):
        rig.broker.commit(lease, "md", 0, [result])
    (shard,) = rig.broker.shards()
    assert (shard.results, sum(shard.waiting.values()), counted(rig)) == (0, 0, (0, 0))
    with pytest.raises(RunForgotten):
        rig.push(opened, 3)


def test_a_run_that_is_wanted_is_not_discarded(rig: Rig) -> None:
    rig.open_run("md")
    with pytest.raises(RunRefused, match="is not refused"):
        rig.broker.discard("md")
    with pytest.raises(RunRefused, match="is not known here"):
        rig.broker.discard("other")


# -- the writer -----------------------------------------------------------------------------------


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    made = MemoryBroker(Settings(commit_interval_s=0.0), clock)
    publish(made)
    return made


class CountedLooks(MemoryBroker):
    """Counts how often a writer asks for its runs."""

    looks = 0

    def open_runs(self, *args: Any) -> Any:
        self.looks += 1
        return super().open_runs(*args)


def written(broker: MemoryBroker, out: Path) -> Writer:
    writer = Writer(broker, out, settings=broker.settings, clock=broker._clock)
    step(writer, broker)
    return writer


def step(writer: Writer, broker: MemoryBroker) -> None:
    """A second later."""
    broker._clock.sleep(1.0)  # type: ignore[attr-defined]
    writer.step(block_s=0)


def test_a_writer_does_not_look_again_for_every_result_of_a_refused_run(
    clock: Clock, tmp_path: Path
) -> None:
    broker = CountedLooks(Settings(commit_interval_s=0.0), clock)
    publish(broker)
    (tmp_path / "bad.h5").write_text("my shopping list")
    open_and_push(broker, [1] * 30, "bad")
    work(broker)
    written(broker, tmp_path)
    assert broker.looks < 5


def test_status_says_what_a_refused_run_holds(broker: MemoryBroker, tmp_path: Path) -> None:
    (tmp_path / "bad.h5").write_text("my shopping list")
    open_and_push(broker, [2], "bad")
    work(broker)
    written(broker, tmp_path)
    (line,) = trouble(broker.runs(), [], broker.shards(), broker.settings)
    held = broker.runs()[0].held_bytes
    assert "run 'bad' is refused by the writer: " in line
    assert f"{held} bytes of it wait: resume it, or edgestream discard bad" in line


def test_a_discarded_run_leaves_nothing_and_its_name_is_free(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    (tmp_path / "bad.h5").write_text("my shopping list")
    open_and_push(broker, [2, 1], "bad")
    work(broker)
    writer = written(broker, tmp_path)
    assert broker.shards()[0].results == 2
    broker.discard("bad")
    step(writer, broker)
    assert broker.shards()[0].results == 0
    (tmp_path / "bad.h5").unlink()
    again = broker.open_run("bad", SPEC, run_id="me too", resume=False)
    push(broker, again, 0, 3)
    work(broker)
    broker.seal(again, 3)
    step(writer, broker)
    assert_rows(tmp_path / "bad.h5", 3)
