"""Looking after a run while its frames travel: the service, the progress, and who is missing."""

from __future__ import annotations

import time
from contextlib import suppress

from edgestream.local import LocalService
from edgestream.progress import Progress
from stream.broker import RunState
from stream.service import Patience, StopSignal
from xas.errors import Retry, RunRefused, ServerUnreachable

POLL_S = 0.05
LOOK_S = 0.25
ADOPTION_TIMEOUT_S = 30.0
PATIENCE_S = 600.0  # with a server that is away, as long as a producer has by default


def require_taken_on(state: RunState) -> bool:
    """Whether a writer has the run; RunRefused in its own words where it will not have it."""
    if state.refusal:
        raise RunRefused(state.refusal)
    return bool(state.file)


def nobody_writes(run: str) -> Retry:
    """Where no writer ever came."""
    return Retry(f"run {run!r}: no writer takes it on; start one: edgestream writer --out DIR")


class Watcher:
    """Called between chunks and in every wait of a run; raises where waiting is of no use.

    stop: once set, nobody waits for a server that is away or for workers that do not run.
    """

    def __init__(
        self, service: LocalService, run: str, progress: Progress, stop: StopSignal
    ) -> None:
        self.total: int | None = None
        self._service, self._run = service, run
        self._progress, self._stop = progress, stop
        self._trouble = Patience(f"run {run!r}", time.sleep, progress.tell, longest_s=1.0)
        self._next, self._adoption_end = 0.0, time.monotonic() + ADOPTION_TIMEOUT_S
        self._said_no_worker = False

    def look(self) -> None:
        """After each chunk; does something a few times a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_S
        self._service.watch()
        with suppress(ServerUnreachable):  # the producer meets it too, waits, and says so
            state = self.state()
            self.show(state)
            if not require_taken_on(state) and time.monotonic() > self._adoption_end:
                raise nobody_writes(self._run)
            self._require_workers()

    def sleep(self, seconds: float) -> None:
        """A sleep for the producer, so that it never waits for what will not come."""
        self.look()
        if self._stop.is_set():
            self._service.watch()
            self.state()
            self._require_workers()
        time.sleep(seconds)

    def _require_workers(self) -> None:
        if self._service.pids("worker") or self._service.broker.workers():
            self._said_no_worker = False
            return
        command = f"edgestream worker --redis-url {self._service.shown_url}"
        if self._stop.is_set():
            raise Retry(
                f"run {self._run!r}: frames wait at {self._service.shown_url} and no worker runs; "
                f"they are written when one does: {command}"
            )
        if not self._said_no_worker:
            self._said_no_worker = True
            self._progress.tell(
                f"run {self._run!r} waits, no worker runs: start one with {command}"
            )

    def state(self) -> RunState:
        """What the broker knows; Retry where it has forgotten the run."""
        state = self._service.broker.run(self._run)
        if state is None:
            raise Retry(f"the server has lost run {self._run!r}: --resume goes on from its file")
        return state

    def show(self, state: RunState) -> None:
        """Show the progress."""
        backlog = state.next_index - state.watermark
        dead = f", {state.dead} dead letters" if state.dead else ""
        total = max(self.total, state.next_index) if self.total else None
        if state.sealed is not None:
            total = state.sealed
        self._progress.update(state.watermark, total, f"backlog {backlog}{dead}")

    def wait_until_finished(self) -> RunState:
        """Until the file is complete; a server that is away is waited for, and said so."""
        while True:
            self.look()
            try:
                state = self.state()
            except Retry as error:
                if self._stop.is_set() or self._trouble.waited_s > PATIENCE_S:
                    raise
                self._trouble.wait(error)
                continue
            self._trouble.over()
            if state.finished:
                self.show(state)
                return state
            time.sleep(POLL_S)
