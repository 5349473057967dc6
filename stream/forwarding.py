"""From a producer's spool to the broker: what was accepted arrives once, whatever becomes of both.

A frame is accepted when it is in the spool. It leaves for the broker with the same call where it
can, else with a later one; it leaves the disk when the watermark has passed it. Nothing happens
between calls: there is no thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from stream.broker import Opened, ProducerBroker, RunState
from stream.codec import decode, encode
from stream.log import Words
from stream.messages import FrameBlock, RunSpec
from stream.refusals import refuse_sealed
from stream.service import Patience
from stream.settings import Settings
from stream.spool import Spool, SpooledBlock, SpoolRecord
from xas.errors import Backpressure, Fenced, HeldBack, Retry, RunForgotten, RunRefused

LOOK_S = 1.0  # between looks at the watermark
PAUSE_S = 0.02  # between attempts where somebody waits for them
ATTEMPT_SHARE = 10  # a server that is away costs at most one part of so many of the caller's time

Policy = Literal["block", "raise", "drop"]


class Forwarder:
    """Holds the spool of a run and brings its frames to the broker in order.

    Raises what Producer raises; after any error the frames in the spool are still there.
    """

    def __init__(
        self,
        broker: ProducerBroker,
        spool: Spool,
        run: str,
        spec: RunSpec,
        *,
        run_id: str,
        resume: bool,
        settings: Settings,
        policy: Policy,
        deadline_s: float | None,
        clock: Callable[[], float],
        timer: Callable[[], float],
        sleep: Callable[[float], object],
        tell: Callable[[str], None],
    ) -> None:
        self._broker, self._spool, self._spec, self.run = broker, spool, spec, run
        self._run_id, self._resume, self._settings = run_id, resume, settings
        self._policy, self._deadline_s = policy, deadline_s
        self._clock, self._timer, self._sleep, self._tell = clock, timer, sleep, tell
        self._next_try = self._next_look = 0.0
        self._trouble = Patience(Words(f"run {run!r}", run=run), self._pause, tell)
        self._full = Patience(run, self._pause, lambda _: None, longest_s=PAUSE_S)
        self._last: Retry | None = None
        self._opened: Opened | None = None
        self._sent = 0
        self._offered = 0
        self._interrupted = self._settled = self._sealed = False
        self.next_index = 0
        self._begin()

    # -- beginning --------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._spool.record is not None:
            self._require_ours(self._spool.record)
        if not self._is_sealed():
            opened = self._hold()  # a server that does not answer is told at once
            if self._resume and opened.created:
                self._wait_for_the_file()
        if not (self._sealed or self._spool.is_empty):
            self._patiently(self._is_known)
        self._know(self._broker.run(self.run))
        reached = self._spool.reach(self._sent)
        if reached < self._spool.end:
            self._tell(
                f"run {self.run!r}: {self._spool.folder} is damaged: frames {reached} to "
                f"{self._spool.end - 1} must be pushed again"
            )
        self._spool.begin(reached)
        self.next_index = self._offered = reached

    def _is_sealed(self) -> bool:
        """Whether the producer before us sealed what is in the spool: it only has to settle."""
        state, spool = self._broker.run(self.run), self._spool
        if state is None or state.sealed is None or state.interrupted or spool.is_empty:
            return False
        self._sealed = state.sealed >= spool.end
        self._sent = state.next_index if self._sealed else 0
        return self._sealed

    def _require_ours(self, record: SpoolRecord) -> None:
        """RunRefused where the spool's frames are not those of the run that is being opened."""
        state, spool = self._broker.run(self.run), self._spool
        record.spec.require_same(self.run, self._spec)
        if state is not None and record.run_id:
            self._require_same_id(state, record)
            if state.finished and not state.interrupted and state.watermark >= spool.end:
                spool.clear()
                refuse_sealed(self.run, state.watermark)
        if not self._resume and not spool.is_empty:
            raise RunRefused(
                f"{spool.folder} holds frames {spool.first} to {spool.end - 1} of run "
                f"{self.run!r}: resume it (--resume), or take another name"
            )
        if state is not None and 0 < record.epoch < state.epoch and state.next_index < spool.end:
            raise RunRefused(
                f"run {self.run!r} was opened by another producer since {spool.folder} was "
                f"written, and frames {state.next_index} to {spool.end - 1} of it were never "
                "pushed: move the folder away to go on without them, or take another name"
            )

    def _require_same_id(self, state: RunState, record: SpoolRecord) -> None:
        if record.run_id and state.run_id != record.run_id:
            raise RunRefused(
                f"{self._spool.folder} belongs to another run of the name {state.run!r} than the "
                "server and its writer have: move the folder away, or take another name"
            )

    def _hold(self) -> Opened:
        """Our hold on the run, taken again where the server forgot it."""
        if self._opened is None:
            record = self._spool.record
            own_id = record.run_id if record is not None else ""
            # on a server that has no such run the writer compares our id with its file's
            resume = self._resume and not (own_id and self._broker.run(self.run) is None)
            self._write_down(epoch=0)  # whoever dies here knows nothing of its epoch
            self._opened = self._broker.open_run(
                self.run, self._spec, run_id=own_id or self._run_id, resume=resume
            )
            self._sent = self._opened.next_index
            if record is None:
                self._spool.keep_record(SpoolRecord(run=self.run, spec=self._spec))
            self._write_down(epoch=self._opened.epoch)
        return self._opened

    def _write_down(self, **changes: object) -> None:
        """Change the spool's record, where there is one and it says something else."""
        record = self._spool.record
        if record is not None and any(getattr(record, k) != v for k, v in changes.items()):
            self._spool.keep_record(msgspec.structs.replace(record, **changes))

    def _wait_for_the_file(self) -> None:
        """Let a writer say how far the run has come, on a server that never heard of it."""
        end = self._timer() + self._settings.lease_s
        while self._timer() < end:
            state = self._broker.run(self.run)
            if state is not None and (state.file or state.refusal):
                self._sent = state.next_index
                return
            self._sleep(PAUSE_S)

    def _is_known(self) -> bool:
        """Whether the server is as far as our oldest frame; Retry says what we wait for."""
        self._hold()
        if self._sent >= self._spool.first:
            return True
        self._opened = None  # ask again next time
        raise RunForgotten(
            f"the server expects frame {self._sent}, and {self._spool.folder} begins at "
            f"{self._spool.first}, since all before is in the result file: waiting for the writer "
            "that has it (edgestream writer --out DIR)"
        )

    # -- accepting --------------------------------------------------------------------------------

    def take(self, n_frames: int, payload: bytes) -> bool:
        """Accept a block that begins at ``next_index``; False where it was dropped."""
        if self._sealed:
            refuse_sealed(self.run, self.next_index)
        if not self._spool.fits(len(payload)) and not self._make_room(n_frames, len(payload)):
            return False
        first = self.next_index
        self._spool.append(first, n_frames, payload)
        self.next_index += n_frames
        end = self.next_index
        block = SpooledBlock(first, n_frames, payload, first, end)
        self._attempt(lambda: self._forward(block))
        return True

    def _make_room(self, n_frames: int, size: int) -> bool:
        def has_room() -> bool:
            self._look()
            if not self._spool.fits(size):
                self._forward()
            return self._spool.fits(size)

        if self._policy == "block":
            self._patiently(has_room)
        elif not self._attempt(has_room) and not self._spool.fits(size):
            if self._policy == "raise":
                raise self._is_full()
            self._drop(n_frames)
            return False
        return True

    def _is_full(self) -> Retry:
        why = f"; {self._last}" if self._last is not None else ""
        return Backpressure(
            f"run {self.run!r}: {self._spool.folder} is full with {self._spool.n_bytes} bytes that "
            f"are not yet in the result file (spool_bytes){why}"
        )

    def _drop(self, n_frames: int) -> None:
        record, now = self._spool.record, self._clock()
        assert record is not None
        first = record.dropped_first or now
        self._write_down(dropped=record.dropped + n_frames, dropped_first=first, dropped_last=now)

    # -- sending ----------------------------------------------------------------------------------

    def _forward(self, in_hand: SpooledBlock | None = None) -> bool:
        """Send all that the broker lacks."""
        if self._timer() >= self._next_look:
            self._look()  # first: a full server takes nothing, and frees our disk nevertheless
        self._is_known()
        while self._sent < self.next_index:
            if in_hand is not None and in_hand.first == self._sent:
                self._send(in_hand)
            else:
                self._send(self._spool.read(self._sent))
            self._is_known()
        return True

    def _send(self, block: SpooledBlock) -> None:
        payload = block.payload if block.is_whole else _recut(block)
        self._offered = max(self._offered, block.end)
        expected = self._broker.push(self._hold(), block.start, block.end - block.start, payload)
        if expected > self._offered:
            raise Fenced(
                f"run {self.run!r} has {expected} frames at the server and this producer numbered "
                f"{self._offered}: another producer was there; resume the run to go on behind it"
            )
        self._sent = expected

    def _look(self) -> bool:
        """Learn how far the writer is, and let go of what it has."""
        self._next_look = self._timer() + LOOK_S
        self._know(self._broker.run(self.run))
        return True

    def _know(self, state: RunState | None) -> None:
        if state is None:
            self._opened = None
            raise RunForgotten(f"the server does not know run {self.run!r} any more")
        if state.refusal:
            raise RunRefused(f"the writer refuses run {self.run!r}: {state.refusal}")
        if self._spool.record is not None and state.file:
            self._require_same_id(state, self._spool.record)
        if state.file or not self._resume:  # a writer may know the run by its file's id
            self._write_down(run_id=state.run_id)
        self._sent = min(self._sent, state.next_index)
        self._spool.trim(state.watermark)
        self._report_drops()

    def _report_drops(self) -> None:
        record = self._spool.record
        if record is None or not record.dropped:
            return
        # counted twice where the answer is lost, never too little
        self._broker.drop(
            self._hold(),
            record.dropped,
            first_s=record.dropped_first,
            last_s=record.dropped_last,
        )
        self._write_down(dropped=0, dropped_first=0.0)

    # -- attempts ---------------------------------------------------------------------------------

    def _attempt(self, step: Callable[[], bool]) -> bool:
        """One step, unless an attempt failed a moment ago; whether it came to its end."""
        started = self._timer()
        if started < self._next_try:
            return False
        try:
            done = self._reopening(step)
        except Retry as error:
            self._last = error
            quiet = isinstance(error, Backpressure) and not isinstance(error, HeldBack)
            (self._full if quiet else self._trouble).wait(error)
            took = self._timer() - started
            self._next_try = max(self._next_try, self._timer() + ATTEMPT_SHARE * took)
            return False
        self._last = None
        self._trouble.over()
        self._full.over()
        return done

    def _reopening(self, step: Callable[[], bool]) -> bool:
        """The step, once more after the run was opened again where the server forgot it."""
        try:
            return step()
        except RunForgotten:
            self._opened = None
            return step()

    def _pause(self, seconds: float) -> None:
        self._next_try = self._timer() + seconds

    def _patiently(self, step: Callable[[], bool]) -> None:
        """Repeat a step until it is done; what was in its way, after the deadline."""
        started, self._next_try = self._timer(), 0.0
        while not self._attempt(step):
            if self._deadline_s is not None and self._timer() - started >= self._deadline_s:
                raise self._last or self._is_full()
            self._next_try = min(self._next_try, self._timer() + 5.0)
            self._sleep(max(PAUSE_S, self._next_try - self._timer()))

    # -- ending -----------------------------------------------------------------------------------

    def flush(self) -> None:
        """Return when the broker holds every frame; Retry after the deadline."""
        self._spool.sync()
        self._patiently(self._forward)

    def seal(self, *, interrupted: bool) -> int:
        """End the run after the frames accepted so far; how many they are."""
        if self._sealed:
            return self.next_index
        self._spool.sync()
        self._interrupted, sealed = interrupted, 0

        def seal() -> bool:
            nonlocal sealed
            self._forward()
            self._look()
            sealed = self._broker.seal(self._hold(), self.next_index, interrupted=interrupted)
            self._sent = min(self._sent, sealed)
            return sealed >= self.next_index

        self._patiently(seal)
        return sealed

    def settle(self) -> bool:
        """After the seal: whether all is on the writer's disk; if so the spool is removed.

        A server that forgot meanwhile gets the frames and the seal again.
        """

        def settled() -> bool:
            state = self._broker.run(self.run)
            if state is None:
                self._opened = None
            if state is None or state.sealed is None:
                self._forward()
                self._broker.seal(self._hold(), self.next_index, interrupted=self._interrupted)
                return False
            self._know(state)
            return state.watermark >= self.next_index

        if not self._settled and self._attempt(settled):
            self._spool.clear()
            self._settled = True
        return self._settled

    def close(self) -> None:
        """Let go of the spool; what is in it stays."""
        self._spool.close()


def _recut(block: SpooledBlock) -> bytes:
    """The part of a block that is meant, as a block of its own."""
    whole = decode(block.payload, FrameBlock)
    return encode(whole.part(block.start - block.first, block.end - block.first))
