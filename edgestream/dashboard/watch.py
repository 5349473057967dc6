"""A thread that looks at one thing for all its viewers, while there are any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from edgestream.dashboard.mailbox import Board
from stream.service import say
from xas.errors import EdgestreamError

IDLE_S = 20.0  # a viewer that reloads the page comes back to what is known


class Watch:
    """Calls ``step`` again and again; what it raises is told once and ends nothing.

    Ends when nobody has looked for IDLE_S, unless ``may_end`` says that somebody came meanwhile.
    """

    def __init__(self, name: str, may_end: Callable[[Watch], bool]) -> None:
        self.board = Board()
        self.stop = threading.Event()
        self._may_end = may_end
        self._said = ""
        self._viewed_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch {name}")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wanted(self) -> Self:
        """Itself; for IDLE_S it does not end."""
        self._viewed_at = time.monotonic()
        return self

    @property
    def is_idle(self) -> bool:
        """Whether nobody has looked for IDLE_S."""
        if self.board.viewers:
            self._viewed_at = time.monotonic()
        return time.monotonic() - self._viewed_at > IDLE_S

    def close(self) -> None:
        """End, with the streams of all viewers."""
        self.stop.set()
        self.board.close()
        self._thread.join(timeout=5.0)

    def step(self) -> None:
        """Look once, and wait as long as is good."""
        raise NotImplementedError

    def end(self) -> None:
        """Let go of connections."""
        raise NotImplementedError

    def _run(self) -> None:
        while not self.stop.is_set() and not (self.is_idle and self._may_end(self)):
            try:
                self.step()
            except (EdgestreamError, OSError) as error:
                self._rest(str(error))
            except Exception as error:  # noqa: BLE001 - a page that stands still says nothing
                self._rest(f"a defect ({type(error).__name__}: {error}); please report it")
        self.end()

    def _rest(self, words: str) -> None:
        if words != self._said:
            say(f"page: {words}")
        self._said = words
        self.stop.wait(1.0)
