"""Emptying a service before maintenance: producers wait, what was accepted reaches the disk."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from edgestream.progress import Progress
from edgestream.status import stuck
from stream.broker import RunState, ShardState, WorkerState
from stream.redis_broker import RedisBroker
from stream.service import Patience
from xas.errors import Retry, ServerUnreachable

LOOK_S = 0.2
STILL_SHUT = "producers are still held back: drain again, or edgestream drain --release"


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """What was accepted and is not on disk.

    ``frames`` without a row; ``blocks`` that no worker has answered, ``results`` that no writer has
    taken, ``ending``: sealed runs whose files are not finished. ``held``: what a person must mend
    before it goes on, in words.
    """

    frames: int
    blocks: int
    results: int
    ending: int
    held: list[str]

    @classmethod
    def of(
        cls, runs: list[RunState], workers: list[WorkerState], shards: list[ShardState]
    ) -> UnderWay:
        """What a look at everything says."""
        return cls(
            frames=sum(max(0, run.next_index - run.watermark) for run in runs),
            blocks=sum(sum(shard.waiting.values()) for shard in shards),
            results=sum(shard.results + shard.buried for shard in shards),
            ending=sum(run.sealed is not None and not run.finished for run in runs),
            held=stuck(runs, workers, shards),
        )

    @property
    def is_nothing(self) -> bool:
        """Whether everything is on disk."""
        return not (self.frames or self.blocks or self.results or self.ending)

    def __str__(self) -> str:
        return (
            f"{self.frames} frames are not on disk: {self.blocks} blocks with the workers, "
            f"{self.results} results with the writer, {self.ending} files to be finished"
        )


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What ``edgestream drain`` says at its end."""

    drained: bool
    seconds: float
    frames: int
    left: UnderWay


def drain(
    broker: RedisBroker, timeout_s: float | None, progress: Progress, stop: threading.Event
) -> Drained:
    """Hold back all producers, and return when all is on disk, stopped, or after the time.

    They stay held back. Retry where somebody let them in meanwhile. A server that is away is waited
    for.
    """
    broker.check_version()
    broker.drain()
    started = time.monotonic()
    left, patience = _look(broker), Patience("drain", stop.wait, progress.tell, longest_s=1.0)
    first = left.frames
    while not (left.is_nothing or stop.is_set()):
        if timeout_s is not None and time.monotonic() - started > timeout_s:
            break
        progress.update(first - left.frames, first, "; ".join([str(left), *left.held[:1]]))
        stop.wait(LOOK_S)
        try:
            left = _look(broker)
        except ServerUnreachable as error:
            patience.wait(error)
        else:
            patience.over()
    seconds = time.monotonic() - started
    return Drained(drained=left.is_nothing, seconds=seconds, frames=first, left=left)


def _look(broker: RedisBroker) -> UnderWay:
    """In the order of a frame's way, so that none is between two looks; runs last."""
    shards, workers = broker.shards(), broker.workers()
    if any(shard.drained_at is None for shard in shards):
        raise Retry(
            "the drain has ended before its time: somebody released it, or the server came back "
            "without its data; drain again"
        )
    return UnderWay.of(broker.runs(), workers, shards)


def why_not(found: Drained) -> str:
    """One line: what is not on disk, and what holds it."""
    held = "; ".join(found.left.held) or "nothing stands in its way: it takes longer"
    return f"after {found.seconds:.0f} s {found.left}; {held}; {STILL_SHUT}"
