"""The stream of events to one viewer (server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

from edgestream.dashboard.mailbox import Mailbox
from edgestream.dashboard.watch import Watch

STILL_HERE_S = 10.0  # a viewer that hears nothing for longer connects anew


async def events(watches: list[Watch]) -> AsyncIterator[bytes]:
    """The latest of each kind, as often as the viewer takes it, until the watches are closed."""
    mailbox = Mailbox()
    with ExitStack() as boards:
        for watch in watches:
            boards.enter_context(watch.board.delivering_to(mailbox))
        yield b"retry: 1000\n\n"
        while not mailbox.closed:
            letters = await mailbox.take(STILL_HERE_S)
            yield b"".join(_event(kind, body) for kind, body in letters.items()) or _STILL_HERE


_STILL_HERE = b"event: here\ndata: {}\n\n"


def _event(kind: str, body: bytes) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"
