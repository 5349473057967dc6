"""What producers, workers and writers tell of their work, and to whom: metrics, traces, or nobody.

Each call is for a block, a batch or a commit, never for a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.broker import Entry
from stream.messages import FrameBlock, ResultBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A batch that was predicted and answered for; times in seconds since 1970."""

    blocks: Sequence[FrameBlock]
    n_frames: int
    n_atoms: int
    model: str
    featurise_s: float
    infer_s: float
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Rows of one run that became durable: results with their blocks of frames, as pushed."""

    run: str
    n_rows: int
    results: Sequence[ResultBlock]
    frames: Sequence[Sequence[bytes]]
    began: float
    ended: float


class Recorder:
    """Keeps nothing of what it is told: who wants to, overrides what concerns him."""

    def begin(self, run: str, first: int, n_frames: int) -> str:
        """A producer begins to push a block; the trace that the block is to carry, or empty."""
        del run, first, n_frames
        return ""

    def accepted(self, n_frames: int) -> None:
        """The block that was begun is accepted."""

    def dropped(self, n_frames: int, policy: str) -> None:
        """The block that was begun is not accepted, since the service is behind."""

    def received(self, entries: Sequence[Entry]) -> None:
        """A worker has entries in hand."""

    def queued(self, blocks: Sequence[FrameBlock], now: float) -> None:
        """These blocks, as they could be read, have waited until now."""

    def predicted(self, batch: Predicted) -> None:
        """A worker has predicted a batch."""

    def completed(self, n_frames: int, errors: Sequence[str]) -> None:
        """An answer of a worker counts: so many frames, and of what class its failures are."""

    def models(self, references: Sequence[str], swaps: int) -> None:
        """These models, NAME@VERSION, are at work; so many swaps until now."""

    def written(self, rows: Written) -> None:
        """A writer has made rows durable."""


class Several(Recorder):
    """Passes on to several what it is told; the trace is that of the last who has one."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._all = list(recorders)

    def begin(self, run: str, first: int, n_frames: int) -> str:
        """See Recorder."""
        traces = [r.begin(run, first, n_frames) for r in self._all]
        return next(filter(None, reversed(traces)), "")

    def accepted(self, n_frames: int) -> None:
        """See Recorder."""
        for r in self._all:
            r.accepted(n_frames)

    def dropped(self, n_frames: int, policy: str) -> None:
        """See Recorder."""
        for r in self._all:
            r.dropped(n_frames, policy)

    def received(self, entries: Sequence[Entry]) -> None:
        """See Recorder."""
        for r in self._all:
            r.received(entries)

    def queued(self, blocks: Sequence[FrameBlock], now: float) -> None:
        """See Recorder."""
        for r in self._all:
            r.queued(blocks, now)

    def predicted(self, batch: Predicted) -> None:
        """See Recorder."""
        for r in self._all:
            r.predicted(batch)

    def completed(self, n_frames: int, errors: Sequence[str]) -> None:
        """See Recorder."""
        for r in self._all:
            r.completed(n_frames, errors)

    def models(self, references: Sequence[str], swaps: int) -> None:
        """See Recorder."""
        for r in self._all:
            r.models(references, swaps)

    def written(self, rows: Written) -> None:
        """See Recorder."""
        for r in self._all:
            r.written(rows)
