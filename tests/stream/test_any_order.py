"""Whatever happens in whatever order: every accepted frame ends in exactly one row."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest
from clocks import Clock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from rigs import ROOM, SPEC, emptied

from edgestream.embedded import EmbeddedServer
from stream.broker import Completion, Entry, Lease, Opened, ResultEntry
from stream.memory_broker import MemoryBroker
from stream.messages import RunSpec
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.settings import Settings
from xas.errors import Backpressure, Fenced, HeldBack, RunForgotten, RunRefused

RUNS = ("md", "bulk")
SPECS = {"md": SPEC, "bulk": RunSpec(model="tiny", priority="bulk")}
WORKERS = ("w1", "w2")
MARK = 60 * ROOM

runs, workers = st.sampled_from(RUNS), st.sampled_from(WORKERS)


@dataclass
class Backup:
    """What a server held at one moment, and what this test knew of it."""

    data: Any
    accepted: dict[str, int]
    sealed: dict[str, int]
    counted: dict[tuple[str, int], int]
    paused: set[str]
    drained: bool


class Delivery(RuleBasedStateMachine):
    """Two producers, two workers and a writer whose folder is a dict.

    A frame's payload is its own name; a row is written by the first result that covers it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broker = self.make_broker()
        self.opened: dict[str, Opened] = {}
        self.accepted = dict.fromkeys(RUNS, 0)
        self.sealed: dict[str, int] = {}
        self.hands: dict[str, list[Entry]] = {name: [] for name in WORKERS}
        self.rows: dict[tuple[str, int], str] = {}
        self.lease: Lease | None = None
        self.after = "0"
        self.waiting: dict[str, ResultEntry] = {}
        self.completions = self.writers = 0
        self.counted: dict[tuple[str, int], int] = {}
        self.paused: set[str] = set()
        self.drained = False
        self.backup: Backup | None = None
        self.epoch_on_disk = 0

    def make_broker(self) -> Any:
        self.clock = Clock()
        return MemoryBroker(
            Settings(claim_idle_s=10.0, lease_s=10.0, high_water_bytes=MARK), self.clock
        )

    def wait(self) -> None:
        self.clock.sleep(11.0)

    def empty_the_server(self) -> None:
        ids = self.broker._ids
        self.broker.__init__(self.broker.settings, self.clock)
        self.broker._ids = ids  # as on a server, whose ids are times

    def data_of_the_server(self) -> Any:
        return copy.deepcopy(self.broker._shards)

    def give_the_server(self, data: Any) -> None:
        self.broker._shards = copy.deepcopy(data)

    @initialize()
    def open_runs(self) -> None:
        for run in RUNS:
            self.open_run(run)
        self.remember()

    # -- producers --------------------------------------------------------------------------------

    @rule(run=runs)
    def open_run(self, run: str) -> None:
        if run in self.sealed:
            with pytest.raises(RunRefused):
                self.broker.open_run(run, SPECS[run], run_id="me", resume=True)
            return
        before = self.opened.get(run)
        self.opened[run] = self.broker.open_run(run, SPECS[run], run_id="me", resume=False)
        assert self.opened[run].next_index == self.accepted[run]
        if before is not None:
            with pytest.raises(Fenced):
                self.broker.push(before, self.accepted[run], 1, b"zombie")

    @rule(run=runs, back=st.integers(-2, 4), n=st.integers(1, 4))
    def push(self, run: str, back: int, n: int) -> None:
        if run in self.sealed:
            return
        first, expected = max(0, self.accepted[run] - back), self.accepted[run]
        payload = ",".join(f"{run}{i}" for i in range(first, first + n)).encode()
        try:
            answer = self.broker.push(self.opened[run], first, n, payload)
        except HeldBack:
            assert first == expected, "only what would be accepted is held up"
            assert self.is_held_back(run)
            return
        except Backpressure:
            assert first == expected, "only what would be accepted is held up"
            assert not self.is_held_back(run)
            return
        assert first != expected or not self.is_held_back(run)
        self.accepted[run] = expected + n if first == expected else expected
        assert answer == self.accepted[run]

    @rule(run=runs)
    @precondition(lambda self: sum(self.accepted.values()) > 12)
    def seal(self, run: str) -> None:
        try:
            self.sealed[run] = self.broker.seal(self.opened[run], 0)
        except RunForgotten:
            assert run in self.sealed, "opened again, and then the server went back to its seal"
        assert self.sealed[run] == self.accepted[run]

    # -- operators --------------------------------------------------------------------------------

    def is_held_back(self, run: str) -> bool:
        return self.drained or run in self.paused

    @rule()
    def drain(self) -> None:
        self.broker.drain()
        self.drained = True

    @rule()
    def admit(self) -> None:
        assert self.broker.admit() == self.drained
        self.drained = False

    @rule(run=runs)
    def pause(self, run: str) -> None:
        if run in self.sealed:
            with pytest.raises(RunRefused):
                self.broker.pause(run)
            return
        self.broker.pause(run)
        self.paused.add(run)

    @rule(run=runs)
    def resume(self, run: str) -> None:
        assert self.broker.resume(run) == (run in self.paused)
        self.paused.discard(run)

    # -- the server -------------------------------------------------------------------------------

    @precondition(lambda self: self.opened)
    @rule()
    def come_back_empty(self) -> None:
        """Workers still hold what it gave them; its runs are opened again, and a writer adopts."""
        self.wait()
        self.empty_the_server()
        self.sealed, self.paused, self.drained = {}, set(), False
        self.lease = None
        for run in RUNS:
            self.opened[run] = self.broker.open_run(run, SPECS[run], run_id="me", resume=True)
            self.accepted[run] = self.watermark(run)
        self.counted = {}
        self.start_a_writer()

    @precondition(lambda self: self.opened)
    @rule()
    def remember(self) -> None:
        """What the server holds is on its disk; what comes later may not be."""
        self.backup = Backup(
            self.data_of_the_server(), *map(copy.copy, (self.accepted, self.sealed, self.counted)),
            copy.copy(self.paused), self.drained,
        )  # fmt: skip

    @precondition(lambda self: self.opened)
    @rule(at_once=st.booleans())
    def come_back_older(self, at_once: bool) -> None:
        """Workers hold entries that it never heard of, and files have rows beyond its watermark.

        A writer that is not there at once says so later; meanwhile frames that have rows already
        are pushed again.
        """
        assert self.backup is not None
        self.wait()
        self.give_the_server(self.backup.data)
        known = copy.deepcopy(replace(self.backup, data=None))
        self.accepted, self.sealed, self.counted = known.accepted, known.sealed, known.counted
        self.paused, self.drained = known.paused, known.drained
        for run in RUNS:
            if run not in self.sealed:
                self.push_to_an_older_server(run)
                self.opened[run] = self.broker.open_run(run, SPECS[run], run_id="me", resume=True)
        self.lease = None
        if at_once:
            self.start_a_writer()

    def push_to_an_older_server(self, run: str) -> None:
        """With the hold from before: nothing is accepted that does not follow."""
        ahead = self.accepted[run] + 1
        try:
            assert self.broker.push(self.opened[run], ahead, 1, b"a gap") == self.accepted[run]
        except (RunForgotten, HeldBack):
            return

    # -- workers ----------------------------------------------------------------------------------

    @rule(worker=workers)
    def read(self, worker: str) -> None:
        self.hands[worker] += self.broker.read(worker, block_s=0)

    @rule(worker=workers)
    def ask_again(self, worker: str) -> None:
        """A reply was lost, or a worker of the same name looks at what is its own."""
        known = {e.id for e in self.hands[worker]}
        self.hands[worker] += [e for e in self.broker.pending(worker) if e.id not in known]

    @rule(worker=workers)
    def fall_silent_and_be_claimed(self, worker: str) -> None:
        self.wait()
        claimed = self.broker.claim(worker)
        assert all(e.deliveries > 1 for e in claimed)
        self.hands[worker] += claimed  # whoever had them, still has them, and is a zombie now

    @rule(worker=workers, keep=st.integers(0, 3))
    def release(self, worker: str, keep: int) -> None:
        entries = self.hands[worker][keep:]
        self.broker.release(worker, entries)
        self.hands[worker] = self.hands[worker][:keep]

    @rule(worker=workers)
    def heartbeat(self, worker: str) -> None:
        self.broker.heartbeat(worker, self.hands[worker])

    @rule(worker=workers)
    def forget(self, worker: str) -> None:
        """Killed; its entries stay pending."""
        self.hands[worker] = []

    @rule(worker=workers, n=st.integers(1, 4), letters=st.integers(0, 2), keep=st.booleans())
    def complete(self, worker: str, n: int, letters: int, keep: bool) -> None:
        batch = self.hands[worker][:n]
        if not keep:  # else a zombie that will complete the same once more
            self.hands[worker] = self.hands[worker][n:]
        self.give_back(worker, [[entry] for entry in batch], letters)

    @rule(worker=workers, n=st.integers(2, 4), letters=st.integers(0, 2))
    def complete_together(self, worker: str, n: int, letters: int) -> None:
        """One result for entries that follow each other; refused, they stay in hand."""
        stretch = self.hands[worker][:1]
        for entry in self.hands[worker][1:n]:
            last = stretch[-1]
            if (last.stream, last.run, last.first + last.n_frames) == (
                entry.stream, entry.run, entry.first,
            ):  # fmt: skip
                stretch.append(entry)
        if stretch and self.give_back(worker, [stretch], letters) == [True]:
            done = {e.id for e in stretch}
            self.hands[worker] = [e for e in self.hands[worker] if e.id not in done]

    def give_back(self, worker: str, parts: list[list[Entry]], letters: int) -> list[bool]:
        self.completions += 1
        mark = b"|by %d" % self.completions
        done = [
            Completion(
                entries=part,
                result=b",".join(e.payload for e in part) + mark,
                dead=[b"dead"] * letters,
            )
            for part in parts
        ]
        counted: list[bool] = self.broker.complete(worker, done)
        for part, first in zip(parts, counted, strict=True):
            for entry in part:
                key = (entry.run, entry.first)
                self.counted[key] = self.counted.get(key, 0) + first
                assert self.counted[key] <= 1
        return counted

    @rule(worker=workers)
    def leave(self, worker: str) -> None:
        self.broker.leave(worker)

    # -- writer -----------------------------------------------------------------------------------

    @rule()
    def start_a_writer(self) -> None:
        """The one before is dead; the folder stays, what it had in hand is gone."""
        self.wait()
        before = self.lease
        self.writers += 1
        self.lease = self.broker.acquire(0, f"writer {self.writers}", above=self.epoch_on_disk)
        self.epoch_on_disk = self.lease.epoch
        self.after, self.waiting = "0", {}
        for run in RUNS:
            self.broker.adopt(
                self.lease, run, n_frames=self.watermark(run), run_id="me", file="f", host="h"
            )
            self.accepted[run] = max(self.accepted[run], self.watermark(run))
        if before is not None:
            with pytest.raises(Fenced):
                self.broker.commit(before, "md", 99, [])

    @precondition(lambda self: self.lease is not None)
    @rule(acknowledge=st.booleans())
    def write(self, acknowledge: bool) -> None:
        assert self.lease is not None
        for entry in self.broker.results(self.lease, self.after, block_s=0):
            self.waiting[entry.id], self.after = entry, entry.id
        for run in RUNS:
            self.write_run(run, acknowledge)

    def write_run(self, run: str, acknowledge: bool) -> None:
        assert self.lease is not None
        own = sorted((e for e in self.waiting.values() if e.run == run), key=lambda e: e.first)
        done = []
        for entry in own:
            if entry.first > self.watermark(run):
                break
            names = entry.payload.split(b"|")[0].decode().split(",")
            for i, name in enumerate(names, entry.first):
                self.rows.setdefault((run, i), name)
            done.append(entry)
        if acknowledge and done:
            self.broker.commit(self.lease, run, self.watermark(run), done)
            for entry in done:
                del self.waiting[entry.id]

    @rule(run=runs, n=st.integers(1, 4))
    def go_all_the_way(self, run: str, n: int) -> None:
        """From the push to the file, as most frames do."""
        if self.lease is None:
            self.start_a_writer()
        self.push(run, 0, n)
        self.read("w1")
        self.complete("w1", len(self.hands["w1"]), 0, keep=False)
        self.write(acknowledge=True)

    def watermark(self, run: str) -> int:
        return sum(key[0] == run for key in self.rows)

    # -- what holds at every moment, and at the end -----------------------------------------------

    @invariant()
    def every_row_is_its_own_frame(self) -> None:
        assert all(name == f"{run}{i}" for (run, i), name in self.rows.items())

    @invariant()
    def nothing_is_written_that_was_not_accepted(self) -> None:
        if self.lease is not None:  # else a server that came back older may not know of all
            assert all(self.watermark(run) <= self.accepted[run] for run in RUNS)

    @invariant()
    def the_broker_counts_right(self) -> None:
        if not self.opened:
            return
        (shard,) = self.broker.shards()
        for run in RUNS:
            state = self.broker.run(run)
            assert state.next_index == self.accepted[run]
            assert state.watermark <= self.watermark(run)
            assert state.held_bytes == shard.held_bytes[SPECS[run].priority] >= 0

    def teardown(self) -> None:
        if self.opened:
            self.run_to_the_end()
        self.broker.close()

    def run_to_the_end(self) -> None:
        self.wait()
        entries = self.broker.read("heir", block_s=0)
        while more := self.broker.read("heir", block_s=0) + self.broker.claim("heir"):
            entries += more
        done = [Completion(entries=[e], result=e.payload + b"|heir") for e in entries]
        self.broker.complete("heir", done)
        self.start_a_writer()
        self.write(acknowledge=True)
        (shard,) = self.broker.shards()
        for run in RUNS:
            state = self.broker.run(run)
            assert sorted(i for r, i in self.rows if r == run) == [*range(self.accepted[run])]
            assert (state.watermark, state.held_bytes) == (self.accepted[run], 0)
        assert set(shard.held_bytes.values()) == {0}
        assert (shard.results, shard.pending, sum(shard.waiting.values())) == (0, 0, 0)


def test_in_memory_every_accepted_frame_ends_in_exactly_one_row() -> None:
    run_state_machine_as_test(
        Delivery,
        settings=settings(
            max_examples=100,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_on_a_server_every_accepted_frame_ends_in_exactly_one_row(
    bundled_server: EmbeddedServer,
) -> None:
    quick = Settings(claim_idle_s=0.002, lease_s=0.002, high_water_bytes=MARK)

    class OnAServer(Delivery):
        def make_broker(self) -> Any:
            return RedisBroker(emptied(bundled_server), quick)

        def wait(self) -> None:
            time.sleep(0.004)

        def empty_the_server(self) -> None:
            connection = RedisConnection(bundled_server.url)
            connection.command("FLUSHALL")
            connection.close()

        def data_of_the_server(self) -> Any:
            connection = RedisConnection(bundled_server.url)
            keys = connection.command("KEYS", "*")
            dumps = connection.commands([("DUMP", key) for key in keys])
            connection.close()
            return list(zip(keys, dumps, strict=True))

        def give_the_server(self, data: Any) -> None:
            connection = RedisConnection(bundled_server.url)
            lines = [("RESTORE", key, 0, dump) for key, dump in data]
            connection.commands([("FLUSHALL",), *lines])
            connection.close()

    run_state_machine_as_test(
        OnAServer,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
