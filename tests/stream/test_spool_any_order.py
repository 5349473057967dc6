"""Crashes, a server that forgets, a full spool, in any order: every accepted frame has its row."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from bundles import iron_oxides
from clocks import Clock
from forgetful import Disk, Server
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from rigs import ROOM, SPEC

from stream.producer import Producer
from stream.settings import Settings
from xas.errors import Retry
from xas.structure import StructureBatch

SETTINGS = Settings(
    block_atoms=1000, high_water_bytes=3000 * ROOM, spool_bytes=6000, spool_sync_s=0
)
FRAMES = iron_oxides(1000)


class Spooling(RuleBasedStateMachine):
    """A live source: no frame comes twice. What was accepted must become rows, in that order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-"))
        self.clock = Clock()
        self.server = Server(SETTINGS, self.clock)
        self.disk = Disk(self.server)
        self.producer: Producer | None = None
        self.accepted: list[int] = []
        self.seen = self.dropped = 0
        self.has_forgotten = self.writer_helps = False

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        if self.writer_helps and not self.server.away:
            self.disk.write()

    @precondition(lambda self: self.producer is None)
    @rule(policy=st.sampled_from(["raise", "drop", "block"]), writer_helps=st.booleans())
    def start(self, policy: str, writer_helps: bool) -> None:
        self.writer_helps = writer_helps
        try:
            self.producer = Producer(
                self.server, "md", SPEC, resume=True, spool=self.folder, policy=policy,  # type: ignore[arg-type]
                settings=self.server.settings, clock=self.clock, timer=self.clock,
                sleep=self.sleep, deadline_s=3.0, tell=lambda _: None,
            )  # fmt: skip
        except Retry:
            return  # no server, or one that is behind the spool: later
        assert self.producer.next_index == len(self.accepted)

    @precondition(lambda self: self.producer is not None)
    @rule(n=st.integers(1, 4), failure=st.sampled_from(["", "", "before", "after"]))
    def push(self, n: int, failure: str) -> None:
        assert self.producer is not None
        self.server.failures = (failure,) if failure else ()
        frames = [*range(self.seen, self.seen + n)]
        self.seen += n
        before = self.producer.next_index
        try:
            self.producer.push(FRAMES[frames[0] : frames[-1] + 1])
        except Retry:
            assert self.producer.next_index == before, "refused, and accepted all the same"
            return
        if self.producer.next_index == before:
            self.dropped += n
        else:
            self.accepted += frames

    @precondition(lambda self: self.producer is not None)
    @rule()
    def kill_the_producer(self) -> None:
        assert self.producer is not None
        self.producer._forwarder._spool._close_lock()  # type: ignore[union-attr]
        self.producer = None

    @rule()
    def go_away_or_come_back(self) -> None:
        self.server.away = not self.server.away

    @precondition(lambda self: not self.server.away and self.server.run("md") is not None)
    @rule(share=st.floats(0, 1))
    def come_back_older(self, share: float) -> None:
        ends = [0, *(e.first + e.n_frames for e in self.waiting())]
        self.has_forgotten = True
        self.server.forget(down_to=ends[int(share * (len(ends) - 1))])

    def waiting(self) -> list:  # type: ignore[type-arg]
        return [*self.server._shard_of("md").frames["live"].entries.values()]

    @precondition(lambda self: not self.server.away and self.server.run("md") is not None)
    @rule(rows=st.booleans())
    def writer(self, rows: bool) -> None:
        self.disk.write() if rows else self.disk.adopt()

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @invariant()
    def what_is_in_the_file_was_accepted_in_that_order(self) -> None:
        self.disk.assert_is(self.frames()[: self.disk.watermark])

    @invariant()
    def the_spool_keeps_to_its_limit(self) -> None:
        files = self.folder.rglob("*.blocks")
        assert sum(path.stat().st_size for path in files) <= SETTINGS.spool_bytes + 2000

    def frames(self) -> StructureBatch:
        return FRAMES.take(self.accepted) if self.accepted else FRAMES[:0]

    def teardown(self) -> None:
        try:
            self.run_to_the_end()
        finally:
            shutil.rmtree(self.folder)

    def run_to_the_end(self) -> None:
        self.server.away, self.server.failures = False, ()
        self.server.settings = replace(SETTINGS, high_water_bytes=10**6)
        if self.producer is None:
            self.start(policy="raise", writer_helps=True)
        assert self.producer is not None, "no way to go on"
        self.writer_helps = True
        self.clock.sleep(60)
        assert self.producer.seal() == len(self.accepted)
        dropped = self.server.run("md").dropped  # type: ignore[union-attr]
        assert self.has_forgotten or dropped == self.dropped
        while not self.producer.settle():
            self.sleep(1.0)
        assert self.disk.watermark == len(self.accepted)
        self.disk.assert_is(self.frames())
        assert not [*self.folder.iterdir()]


def test_every_frame_that_a_spool_accepted_ends_in_exactly_one_row() -> None:
    run_state_machine_as_test(
        Spooling,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
