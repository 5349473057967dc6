"""The run loop of a long-lived process: signals, drain, and patience with a server that is away."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from stream.log import Words, facts, written
from xas.errors import Retry

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0


def say(line: str) -> None:
    """One line on standard error: plain, or JSON where this process speaks that (stream.log)."""
    print(written(line), file=sys.stderr, flush=True)  # noqa: T201 - this is where services speak


class StopSignal(threading.Event):
    """Set by the first SIGTERM or SIGINT, or when the process that started us is gone.

    The batch in hand is finished then. A second SIGINT ends the process as usual.
    """

    _signalled = False

    def listen(self) -> StopSignal:
        """Take over the two signals; from the main thread only."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # the event is set from a thread: a handler that interrupts the main thread while it holds
        # the event's lock could not
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._set_after(lambda: os.read(reader, 1))
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True

    def follow_parent(self, pipe: int = 0) -> StopSignal:
        """Stop when ``pipe``, whose other end the parent holds, ends."""

        def read_to_the_end() -> None:
            while os.read(pipe, 4096):
                pass

        self._set_after(read_to_the_end)
        return self

    def _set_after(self, wait: Callable[[], object]) -> None:
        def follow() -> None:
            with contextlib.suppress(OSError):  # a closed pipe is an ended one
                wait()
            self.set()

        threading.Thread(target=follow, daemon=True, name="stop").start()


def run_until_stopped(step: Callable[[], object], stop: threading.Event, *, name: str) -> None:
    """Repeat ``step`` until ``stop`` is set; a server that is away is waited for, and said so.

    Errors other than Retry end the loop: they are the caller's.
    """
    trouble = Patience(name, stop.wait)
    while not stop.is_set():
        try:
            step()
        except Retry as error:
            trouble.wait(error)
        else:
            trouble.over()


def is_due(at: float, now: float, interval_s: float) -> bool:
    """Whether it is time for what comes every ``interval_s``; also where a clock was set back."""
    return not 0.0 < at - now <= interval_s


class Patience:
    """Waits longer with each failure, and speaks when trouble starts, changes and ends."""

    def __init__(
        self,
        name: str,
        wait: Callable[[float], object],
        tell: Callable[[str], None] = say,
        longest_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._name, self._sleep, self._tell, self._longest_s = name, wait, tell, longest_s
        self._rest()

    def _rest(self) -> None:
        self._pause_s = min(FIRST_PAUSE_S, self._longest_s)
        self._said = ""
        self.waited_s = 0.0

    def wait(self, error: Exception) -> None:
        """Wait before the next attempt."""
        reason = str(error)
        if reason[:40] != self._said[:40]:
            self._tell(self._words(f"{reason}; trying again", level="warning"))
            self._said = reason
        self._sleep(self._pause_s)
        self.waited_s += self._pause_s
        self._pause_s = min(2 * self._pause_s, self._longest_s)

    def over(self) -> None:
        """It worked again."""
        if self._said:
            self._tell(self._words(f"going on after {self.waited_s:.1f} s"))
        self._rest()

    def _words(self, line: str, **more: str) -> Words:
        return Words(f"{self._name}: {line}", **facts(self._name), **more)
