"""The way of labels to the archive: the contract, and what every stream of labels promises.

A pushed label is held by the server when ``push`` has returned for it; it leaves when the one
archive that has the lease says that it is on disk. Pushing the same bytes twice is harmless: while
they wait they are held once, and the archive knows every label by the hash of its content. At most
``Settings.label_bytes`` wait, whatever the frames do: a stopped trainer slows those who push
labels, and nobody else. Two streams keep the promises: Redis or Valkey
(``stream.redis_label_stream``) and memory (``stream.memory_label_stream``), tested by one suite.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stream.broker import Lease
from xas.errors import Backpressure

Outcome = Literal["new", "conflict", "duplicate", "refused"]
"""What became of a label in the archive.

new        stored
conflict   stored, beside another spectrum of the same atom of the same structure
duplicate  was there already
refused    is no label: kept among the archive's dead letters, with the reason
"""
OUTCOMES: tuple[Outcome, ...] = ("new", "conflict", "duplicate", "refused")
NOTICES = 50
LABELS_AT_A_TIME = 128
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLabel:
    """A label that waits for the archive, as bytes; ``t_pushed``: s since 1970, by the server."""

    id: str
    payload: bytes
    t_pushed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelState:
    """Counts: labels that wait, their bytes, and what became of all others so far."""

    waiting: int = 0
    waiting_bytes: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    archive: str = ""
    archive_alive: bool = False
    last_archived: float = 0.0
    notices: Sequence[bytes] = ()


class LabelStream(Protocol):
    """Everything that can be done with waiting labels."""

    def push(self, payloads: Sequence[bytes]) -> list[bool]:
        """Hand labels over; False where the stream is full and did not take one.

        True: it waits for the archive, since now or since before. One that is larger than the
        high-water mark passes when nothing else waits. ServerUnreachable, or Backpressure of a
        server without memory: push all of them again.
        """

    def acquire(self, owner: str) -> Lease:
        """Become the one that takes labels out; Fenced, naming the holder, while another is."""

    def renew(self, lease: Lease) -> None:
        """Keep the lease, also on a server that forgot it; Fenced where another has it."""

    def yield_lease(self, lease: Lease) -> None:
        """Give the lease back."""

    def waiting(self, *, block_s: float, most: int = LABELS_AT_A_TIME) -> list[WaitingLabel]:
        """The labels that wait, oldest first; waits itself while there are none.

        Takes nothing away: the same come again until they are ``done``.
        """

    def done(self, lease: Lease, outcomes: Sequence[tuple[str, Outcome]]) -> None:
        """Let go of labels, by id, that are on disk; each is counted once. Fenced without lease."""

    def note(self, lease: Lease, notices: Sequence[bytes]) -> None:
        """Leave word of refused labels; only the last NOTICES are kept."""

    def state(self) -> LabelState:
        """Counts, for anybody."""

    def close(self) -> None:
        """Let go of connections."""


def push_patiently(
    stream: LabelStream,
    payloads: Sequence[bytes],
    *,
    deadline_s: float | None = 600.0,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Push all of them, waiting while the stream is full; Backpressure after ``deadline_s``.

    What was pushed before the deadline stays; to push all again is harmless. ``wait`` is called
    with seconds between two attempts, and may raise to give up.
    """
    left = list(payloads)
    end = None if deadline_s is None else clock() + deadline_s
    while left:
        taken = stream.push(left[:LABELS_AT_A_TIME])
        left = [p for p, ok in zip(left, taken, strict=False) if not ok] + left[len(taken) :]
        if all(taken):
            continue
        if end is not None and clock() > end:
            state = stream.state()
            raise Backpressure(
                f"{state.waiting} labels ({state.waiting_bytes} bytes) wait for the archive, "
                f"{len(left)} could not be pushed: is the trainer running? Push them again then"
            )
        wait(PAUSE_S)
