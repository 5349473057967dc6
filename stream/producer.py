"""Pushing a run's frames: numbered without gaps, accepted once, slowed by whoever is behind."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.broker import Opened, ProducerBroker
from stream.codec import encode
from stream.forwarding import Forwarder, Policy
from stream.log import Words
from stream.messages import MAX_BLOCK_FRAMES, FrameBlock, RunSpec
from stream.recorder import Recorder
from stream.service import Patience, say
from stream.settings import Settings
from stream.spool import Spool, clear_finished
from xas.errors import Backpressure, HeldBack, Retry, RunForgotten, ScriptsMissing
from xas.structure import Sites, StructureBatch

RESTORE_PAUSE_S = 0.1
HELD_PAUSE_S = 1.0
FULL_PAUSE_S = 0.02  # a full run drains within milliseconds where the service is healthy


class Producer:
    """The one producer of a run; opening it fences off any earlier one.

    ``policy`` says what happens above the high-water mark, and while an operator drains the service
    or has paused the run: ``block`` waits up to ``deadline_s`` (None: for ever) and then raises
    Backpressure (HeldBack), ``raise`` raises at once, ``drop`` gives the frames up before they are
    numbered, and the run's record counts them.

    ``spool``: a folder that keeps the frames of this run on the producer's disk until they are on
    the writer's. A push returns when they are there; they go to the broker with this call or, while
    it is away or full, with a later one, and ``policy`` is what happens when the spool is full.
    Raises StorageFailed, and the frames are not accepted, where its disk refuses.
    """

    def __init__(
        self,
        broker: ProducerBroker,
        run: str,
        spec: RunSpec,
        *,
        settings: Settings | None = None,
        resume: bool = False,
        policy: Policy = "block",
        deadline_s: float | None = 600.0,
        spool: Path | None = None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        tell: Callable[[str], None] = say,
        recorder: Recorder | None = None,
    ) -> None:
        self.spec = spec
        self._recorder = recorder or Recorder()
        self._broker = broker
        self._settings = settings or Settings()
        self._policy, self._deadline_s = policy, deadline_s
        self._clock, self._sleep, self._tell = clock, sleep, tell
        self._run, self._run_id, self._resume = run, uuid.uuid4().hex, resume
        self._forwarder = None if spool is None else self._with_spool(spool, timer)
        if self._forwarder is None:
            self._opened = self._open_patiently()
            self.next_index = self._opened.next_index
        else:
            self.next_index = self._forwarder.next_index

    def _with_spool(self, folder: Path, timer: Callable[[], float]) -> Forwarder:
        clear_finished(folder, self._broker)
        spool = Spool(folder, self._run, settings=self._settings, timer=timer)
        try:
            return Forwarder(
                self._broker,
                spool,
                self._run,
                self.spec,
                run_id=self._run_id,
                resume=self._resume,
                settings=self._settings,
                policy=self._policy,
                deadline_s=self._deadline_s,
                clock=self._clock,
                timer=timer,
                sleep=self._sleep,
                tell=self._tell,
            )
        except BaseException:
            spool.clear() if spool.is_empty else spool.close()
            raise

    def _open_patiently(self) -> Opened:
        """Open, and wait for a writer where the server does not know our scripts yet."""
        patience = Patience(f"run {self._run!r}", self._sleep, self._tell)
        while True:
            try:
                return self._open()
            except ScriptsMissing as error:
                self._wait(patience, error)

    def _open(self) -> Opened:
        return self._broker.open_run(self._run, self.spec, run_id=self._run_id, resume=self._resume)

    @property
    def run(self) -> str:
        """The run's name."""
        return self._run

    def push(
        self,
        structures: StructureBatch,
        times: NDArray[np.float64] | None = None,
        sites: Sites | None = None,
    ) -> None:
        """Push frames; returns when the broker holds all of them (or has counted them as dropped).

        times (n,) float64 in the run's units; sites: the absorbers, by default the spec's element.
        Raises Fenced when another producer took over, RunRefused when the run is sealed, and
        RunForgotten when the server lost frames that it had accepted: push again from its index.
        """
        if structures.n_atoms <= self._settings.block_atoms and len(structures) <= MAX_BLOCK_FRAMES:
            if len(structures):
                self._push_block(structures, times, sites)
            return
        for part in _blocks(structures, self._settings.block_atoms):
            self._push_block(
                structures[part],
                None if times is None else times[part],
                None if sites is None else sites_of(sites, part),
            )

    def _push_block(
        self, structures: StructureBatch, times: NDArray[np.float64] | None, sites: Sites | None
    ) -> None:
        first, n = self.next_index, len(structures)
        block = FrameBlock.of(
            structures,
            run=self.run,
            first=first,
            model=self.spec.model,
            absorber=self.spec.absorber,
            t_pushed=self._clock(),
            times=times,
            sites=sites,
            trace=self._recorder.begin(self.run, first, n),
        )
        reached = self._place(first, n, encode(block))
        if reached is None:
            self._recorder.dropped(n, self._policy)
            return
        self._recorder.accepted(reached - first)
        self.next_index = reached
        if reached < first + n:
            # the server came back holding a part of this block: push what it lacks
            rest = slice(reached - first, n)
            self._push_block(
                structures[rest],
                None if times is None else times[rest],
                None if sites is None else sites_of(sites, rest),
            )

    def _place(self, first: int, n: int, payload: bytes) -> int | None:
        """Have a block accepted; the index after what was, None where the policy gave it up."""
        try:
            if self._forwarder is not None:
                taken = self._forwarder.take(n, payload)
                return self._forwarder.next_index if taken else None
            expected = self._restored(first, lambda: self._offer(first, n, payload))
        except Backpressure:
            self._recorder.dropped(n, self._policy)
            raise
        if expected is None:
            self._patiently(lambda: self._broker.drop(self._opened, n))
        elif expected < first:
            raise self._lost(expected)
        else:
            expected = min(expected, first + n)
        return expected

    def _restored(self, least: int, call: Callable[[], int | None]) -> int | None:
        """The broker's index; where it is below ``least``, after the writer has had time.

        A server that forgot learns from the writer's file how many frames are safe.
        """
        index, waited_s = call(), 0.0
        while index is not None and index < least and waited_s < self._settings.lease_s:
            self._sleep(RESTORE_PAUSE_S)
            waited_s += RESTORE_PAUSE_S
            index = call()
        return index

    def _offer(self, first: int, n: int, payload: bytes) -> int | None:
        """Offer one block until it is accepted; None where the policy gives it up."""
        try:
            return self._patiently(
                lambda: self._broker.push(self._opened, first, n, payload),
                full_is_final=self._policy != "block",
            )
        except Backpressure:
            if self._policy == "drop":
                return None
            raise

    def _patiently(
        self, call: Callable[[], int | None], *, full_is_final: bool = False
    ) -> int | None:
        try:
            return call()  # as a rule
        except Retry as error:
            return self._try_again(call, error, full_is_final=full_is_final)

    def _try_again(
        self, call: Callable[[], int | None], error: Retry, *, full_is_final: bool
    ) -> int | None:
        trouble = Patience(Words(f"run {self.run!r}", run=self.run), self._sleep, self._tell)
        quiet = Patience(self.run, self._sleep, lambda _: None, longest_s=FULL_PAUSE_S)
        held = Patience(f"run {self.run!r}", self._sleep, self._tell, longest_s=HELD_PAUSE_S)
        forgotten = False
        while True:
            if isinstance(error, RunForgotten):
                forgotten = True
            elif isinstance(error, HeldBack):  # said once: a person decides when it ends
                self._wait(held, error, final=full_is_final)
            elif isinstance(error, Backpressure):
                # a full run is the system at work, not trouble: wait without a word
                self._wait(quiet, error, final=full_is_final)
            else:
                self._wait(trouble, error)
            try:
                if forgotten:
                    self._opened, forgotten = self._open(), False
                answer = call()
            except Retry as again:
                error = again
            else:
                trouble.over()
                held.over()
                return answer

    def _wait(self, patience: Patience, error: Retry, *, final: bool = False) -> None:
        if final or (self._deadline_s is not None and patience.waited_s >= self._deadline_s):
            raise error
        patience.wait(error)

    def seal(self, *, interrupted: bool = False) -> int:
        """End the run after the frames pushed so far; how many they are.

        An interrupted run is finished too, and may be resumed; any other is complete. Raises
        RunForgotten, and seals nothing, where the server lost frames that it had accepted.
        """
        n = self.next_index
        if self._forwarder is not None:
            return self._forwarder.seal(interrupted=interrupted)
        sealed = self._restored(
            n,
            lambda: self._patiently(
                lambda: self._broker.seal(self._opened, n, interrupted=interrupted)
            ),
        )
        if sealed is None or sealed < n:
            raise self._lost(sealed or 0)
        return sealed

    def settle(self) -> bool:
        """With a spool, after the seal: whether every frame is on the writer's disk.

        To be asked until it is, and then the spool is removed. A server that forgot meanwhile gets
        frames and seal again. Without a spool always True: nobody could push anything again.
        """
        return self._forwarder is None or self._forwarder.settle()

    def close(self) -> None:
        """Let go of the spool; what is in it stays until the run is resumed."""
        if self._forwarder is not None:
            self._forwarder.close()

    def _lost(self, first: int) -> RunForgotten:
        return RunForgotten(
            f"run {self.run!r}: the server lost frames {first} to {self.next_index - 1}, which it "
            f"had accepted: push again from frame {first} (--resume)"
        )


def _blocks(structures: StructureBatch, max_atoms: int) -> Iterator[slice]:
    """Cut a batch so that no part but a single large structure exceeds ``max_atoms``.

    Nor any MAX_BLOCK_FRAMES.
    """
    first, offsets = 0, structures.offsets
    while first < len(structures):
        end = int(np.searchsorted(offsets, offsets[first] + max_atoms, side="right")) - 1
        end = max(first + 1, min(end, first + MAX_BLOCK_FRAMES, len(structures)))
        yield slice(first, end)
        first = end


def sites_of(sites: Sites, part: slice) -> Sites:
    """The absorbers of a part of the frames, counted within it."""
    own = (sites.structure >= part.start) & (sites.structure < part.stop)
    return Sites(sites.structure[own] - part.start, sites.atom[own])
