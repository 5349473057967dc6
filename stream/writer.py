"""The writer of a shard: results in, files out that open at any moment, acknowledged after."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from stream.amendments import Amendments
from stream.broker import PRIORITIES, ResultEntry, RunState, WriterBroker
from stream.dead_letters import RunLetters, keep_strangers
from stream.log import Words
from stream.messages import RunSpec
from stream.recorder import Recorder
from stream.result_file.leftovers import sweep_finished
from stream.result_file.survey import Survey, highest_epoch, survey
from stream.run_writer import BYTES_AT_ONCE, RunWriter
from stream.service import is_due, run_until_stopped, say
from stream.settings import Settings
from stream.storage import storage
from xas.errors import BadResultFile, Fenced, Reject, Retry, RunRefused

LOOK_INTERVAL_S = 0.1


class Writer:
    """Holds the lease of one shard and writes its runs into ``out``.

    Raises Fenced when another writer takes over, StorageFailed where the disk refuses; nothing is
    lost by either. A run whose record is damaged, or of which the folder lacks rows that were
    acknowledged before, is refused; the others go on.
    """

    def __init__(
        self,
        broker: WriterBroker,
        out: Path,
        *,
        shard: int = 0,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder or Recorder()
        self._broker, self._out, self._shard = broker, out, shard
        self._settings, self._clock = settings or Settings(), clock
        self._owner = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        self._runs: dict[str, RunWriter] = {}
        self._refused: dict[str, int] = {}
        self._sweeping: list[RunWriter] = []
        self._after = "0"
        self._next_commit = self._next_look = self._next_renewal = 0.0
        self._lost: Fenced | None = None
        self._leasing = threading.Lock()
        with storage(out):
            out.mkdir(parents=True, exist_ok=True)
        self._lease = broker.acquire(shard, self._owner, above=0)
        self._clear_after_the_dead()
        self._amendments = Amendments(broker, out, clock)

    def _clear_after_the_dead(self) -> None:
        """Remove segments of finished runs whose writer did not live to the end of their grace."""
        for place in self._out.glob("*.segments"):
            name, grace_s = place.name.removesuffix(".segments"), self._settings.segment_grace_s
            with contextlib.suppress(BadResultFile):  # somebody else's file: let it lie
                sweep_finished(self._out, name, grace_s=grace_s, clock=self._clock)

    def run(self, stop: threading.Event) -> None:
        """Write until stopped; what is in hand is made durable first."""
        keep_memory()
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep_lease, args=(ended,), daemon=True)
        keeper.start()
        try:
            run_until_stopped(self.step, stop, name=f"writer of {self._out}")
            self.drain()
        finally:
            ended.set()
            keeper.join(timeout=5)
            self._yield()

    def _keep_lease(self, ended: threading.Event) -> None:
        """Renew while the main thread copies a large file."""
        while not ended.wait(self._settings.lease_s / 4):
            try:
                with self._leasing:
                    self._broker.renew(self._lease)
            except Fenced as error:
                self._lost = error
            except Retry:
                continue  # the main thread meets the same server, and says so

    def _yield(self) -> None:
        try:
            self._broker.yield_lease(self._lease)
        except (Retry, Fenced) as error:
            say(f"writer of {self._out}: {error}")

    def step(self, block_s: float = 0.05) -> int:
        """Where it is time: read, commit, look after runs; how many results were read.

        Else wait for it, at most block_s: results wait as well in the server, and many are read
        as fast as one.
        """
        if self._lost is not None:
            raise self._lost
        try:
            return self._step(block_s)
        except Fenced:
            self._broker.renew(self._lease)  # a server that forgot its lease gives it again
            return 0
        except Retry:
            self._after = "0"  # a server that was restarted may show again what was acknowledged
            raise

    def _step(self, block_s: float) -> int:
        self._renew_if_due()
        early_s, interval_s = self._next_commit - self._clock(), self._settings.commit_interval_s
        if 0.0 < early_s <= interval_s:  # more: the clock was set back
            time.sleep(min(early_s, block_s))
            return 0
        self._next_commit = self._clock() + interval_s
        self._look_if_due()
        n = self._gather()
        self.commit()
        return n

    def _gather(self) -> int:
        """Take in hand what waits, or as much as one commit takes; how many results."""
        n = size = 0
        while entries := self._broker.results(
            self._lease, self._after, block_s=0.0, bare=self._refused.keys()
        ):
            self._after = entries[-1].id
            for entry in entries:
                if entry.run not in self._refused or entry.again:
                    self._offer(entry)
                    size += entry.held_bytes
            n += len(entries)
            if size >= BYTES_AT_ONCE:
                self._next_commit = 0.0
                break
        return n

    def _offer(self, entry: ResultEntry) -> None:
        if not entry.run:
            say(f"shard {self._shard}: result {entry.id} is none of a worker of ours: dropped")
            self._broker.settle(self._lease, [entry])
            return
        if entry.again:
            self._amendments.offer(entry)
            return
        if entry.run not in self._runs:
            self._look()  # which may go back to the first result
        run = self._runs.get(entry.run)
        if run is not None:
            run.offer(entry)
        elif entry.run not in self._refused:  # by this look
            # of a finished run: the rows are on disk, this is what a server made do twice
            self._broker.commit(self._lease, entry.run, 0, [entry])

    def commit(self) -> None:
        """Make durable and acknowledge whatever is contiguous, live runs first; then let the main
        files follow, and finish what is complete.

        A run whose results do not fit its file is refused; the others go on.
        """
        for run in sorted(self._runs.values(), key=_by_priority):
            self._guarded(run, run.commit)
        for run in list(self._runs.values()):
            self._guarded(run, partial(self._follow, run))
        self._amendments.commit(self._lease, self._runs.keys())
        self._sweeping = [run for run in self._sweeping if not run.sweep()]

    def _guarded(self, run: RunWriter, step: Callable[[], object]) -> None:
        try:
            step()
        except Reject as error:
            del self._runs[run.state.run]
            self._refuse(run.state, str(error))

    def _follow(self, run: RunWriter) -> None:
        run.refresh()
        if run.state.sealed is not None and run.on_disk >= run.state.sealed:
            self._finish(run)

    def drain(self) -> None:
        """Commit what waits, let the main files follow, leave no replaced file behind."""
        self._gather()
        self.commit()
        for run in self._runs.values():
            run.refresh(force=True)
        for run in self._sweeping:
            run.sweep(at_once=True)

    @property
    def idle(self) -> bool:
        """Whether no run is open here and no file waits for the end of its grace."""
        return not self._runs and not self._sweeping and self._amendments.idle

    def _finish(self, run: RunWriter) -> None:
        path = run.finish()
        del self._runs[run.state.run]
        self._amendments.ended(run.state.run)
        self._sweeping.append(run)
        if path is not None:
            name = run.state.run
            say(Words(f"run {name!r}: {run.on_disk} frames in {path}", run=name))

    # -- lease ------------------------------------------------------------------------------------

    def _renew_if_due(self) -> None:
        interval_s = self._settings.lease_s / 3
        if is_due(self._next_renewal, self._clock(), interval_s):
            self._next_renewal = self._clock() + interval_s
            self._broker.renew(self._lease)

    def _raise_epoch(self, above: int) -> None:
        with self._leasing:
            self._lease = self._broker.acquire(self._shard, self._owner, above=above)
        for run in self._runs.values():
            run.lease = self._lease

    # -- runs -------------------------------------------------------------------------------------

    def _look_if_due(self) -> None:
        if is_due(self._next_look, self._clock(), LOOK_INTERVAL_S):
            self._next_look = self._clock() + LOOK_INTERVAL_S
            self._look()

    def _look(self) -> None:
        """Take on the runs that are new here, and follow what happens to the others."""
        self._keep_strangers()
        states = self._broker.open_runs(self._lease)
        if gone := self._refused.keys() - {state.run for state in states}:
            for run in gone:  # discarded: what was left lying is let go now
                del self._refused[run]
            self._after = "0"
        for state in states:
            known = self._runs.get(state.run)
            if known is not None and known.goes_on_with(state):
                known.state = state
            elif self._refused.get(state.run) != state.epoch:
                self._runs.pop(state.run, None)
                self._take_on(state)  # new, or on a server that forgot that we have it

    def _keep_strangers(self) -> None:
        if buried := self._broker.buried(self._lease):
            keep_strangers(self._out, self._shard, [letter for _, letter in buried])
            self._broker.unbury(self._lease, [entry_id for entry_id, _ in buried])

    def _take_on(self, state: RunState) -> None:
        try:
            found = self._found(state)
            run_id = self._identity(state, found)
        except (BadResultFile, RunRefused) as error:
            self._refuse(state, str(error))
            return
        if found.contents is None:  # letters of a run whose file was taken away
            RunLetters(self._out, state.run).set_aside(f"{self._lease.epoch:06d}")
        highest = highest_epoch(self._out, state.run)
        if highest >= self._lease.epoch:
            self._raise_epoch(highest)
        self._broker.adopt(
            self._lease,
            state.run,
            n_frames=found.n_frames,
            run_id=run_id,
            file=str((self._out / f"{state.run}.h5").resolve()),
            host=socket.gethostname(),
        )
        self._refused.pop(state.run, None)
        self._runs[state.run] = self._run_writer(replace(state, run_id=run_id), found.n_frames)
        self._after = "0"  # its results may have passed by while nobody took them

    def _found(self, state: RunState) -> Survey:
        """What the folder holds of a run; RunRefused for a record that is not to be followed."""
        if state.fault:
            raise RunRefused(f"{state.fault}; open it again, or take another name")
        found = survey(self._out, state.run)
        if found.n_frames < state.watermark:
            raise RunRefused(
                f"{self._out} holds {found.n_frames} frames of run {state.run!r}, but "
                f"{state.watermark} were written before: start the writer with the folder that "
                "has them"
            )
        return found

    def _identity(self, state: RunState, found: Survey) -> str:
        """The id of the run that the folder holds, or of a new one; RunRefused for another's."""
        if found.contents is None:
            return state.run_id
        extra = found.contents.header.extra
        stored = extra.get("run_id", "")
        if stored == state.run_id:
            return stored
        if found.contents.sealed:
            raise RunRefused(
                f"{self._out / state.run}.h5 is complete with {found.n_frames} frames: take "
                "another name"
            )
        if state.resumed:
            requested = msgspec.json.decode(extra.get("requested", "{}"), type=RunSpec)
            requested.require_same(state.run, state.spec)
            return stored
        raise RunRefused(
            f"{self._out / state.run}.h5 holds another run of that name with {found.n_frames} "
            "frames: resume it, or take another name"
        )

    def _refuse(self, state: RunState, reason: str) -> None:
        self._broker.refuse(self._lease, state.run, reason)
        self._refused[state.run] = state.epoch
        line = f"run {state.run[:80]!r} refused: {reason}"
        say(Words(line, run=state.run, level="error"))

    def _run_writer(self, state: RunState, on_disk: int) -> RunWriter:
        return RunWriter(
            broker=self._broker,
            lease=self._lease,
            state=state,
            out=self._out,
            settings=self._settings,
            program_version=program_version(),
            clock=self._clock,
            on_disk=on_disk,
            recorder=self._recorder,
        )


def _by_priority(run: RunWriter) -> int:
    return PRIORITIES.index(run.state.spec.priority)


def keep_memory() -> None:
    """Let the heap keep up to 128 MiB that were freed, in this process.

    The columns of a commit are megabytes: by default each is mapped, touched page by page and
    unmapped again, which takes a fifth of the writer's time.
    """
    trim_threshold, mmap_threshold = -1, -3  # <malloc.h>
    with contextlib.suppress(OSError, AttributeError):  # no glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 128 << 20)


def program_version() -> str:
    """The version of edgestream that runs."""
    try:
        return version("edgestream")
    except PackageNotFoundError:
        return "unknown"
