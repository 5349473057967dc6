"""The latest of each kind, for every viewer: who is slow skips what is old, and nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Mailbox:
    """For one viewer, read on its event loop and filled from any thread; holds one of each kind."""

    def __init__(self) -> None:
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        self._lock = threading.Lock()
        self._letters: dict[str, bytes] = {}

    def put(self, kind: str, letter: bytes) -> None:
        """In the place of the last of its kind, where that was not taken yet."""
        with self._lock:
            self._letters[kind] = letter
        self._ring()

    def close(self) -> None:
        """Nothing more will come: ``take`` returns at once."""
        self.closed = True
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that has ended has no viewer
            self._loop.call_soon_threadsafe(self._bell.set)

    async def take(self, timeout_s: float) -> dict[str, bytes]:
        """All that is there; waits up to ``timeout_s`` while there is nothing."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), timeout_s)
        self._bell.clear()
        with self._lock:
            letters, self._letters = self._letters, {}
        return letters


class Board:
    """What all viewers of one thing see; who comes later is given the latest of each kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, bytes] = {}
        self._mailboxes: set[Mailbox] = set()

    @property
    def viewers(self) -> int:
        """How many look at it."""
        return len(self._mailboxes)

    def post(self, kind: str, letter: bytes) -> None:
        """To everybody, unless it says what the last one said."""
        with self._lock:
            if self._latest.get(kind) == letter:
                return
            self._latest[kind] = letter
            for mailbox in self._mailboxes:
                mailbox.put(kind, letter)

    @contextlib.contextmanager
    def delivering_to(self, mailbox: Mailbox) -> Iterator[None]:
        """While the block lasts."""
        with self._lock:
            self._mailboxes.add(mailbox)
            for kind, letter in self._latest.items():
                mailbox.put(kind, letter)
        try:
            yield
        finally:
            with self._lock:
                self._mailboxes.discard(mailbox)

    def close(self) -> None:
        """End the streams of all viewers."""
        with self._lock:
            for mailbox in self._mailboxes:
                mailbox.close()
