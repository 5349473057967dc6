"""What a shadow would have said: predicted when nothing else is to do, compared, and counted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.shadows import ShadowCount, bins_of
from workers.batcher import Batch
from workers.outcome import Outcome
from workers.predictor import Prediction
from workers.serving import Serving
from xas.measures import percentage_error
from xas.structure import Sites

PIECE_ATOMS = 2048  # a live frame waits no longer than these take
ATOMS_KEPT = 65_536  # of batches that wait; the oldest go first


@dataclass
class _Task:
    """A batch that was answered, and how far the shadow has come with it."""

    batch: Batch
    serving: Serving
    outcome: Outcome
    done: int = 0


class Shadow:
    """Keeps the last batches for a shadow; older ones are skipped, and counted."""

    def __init__(self) -> None:
        self._tasks: deque[_Task] = deque()
        self._counts: dict[tuple[str, str, str], ShadowCount] = {}

    def offer(self, batch: Batch, serving: Serving, outcome: Outcome) -> None:
        """Remember a batch that was answered, where its model has a shadow."""
        if serving.shadow is None or not outcome.model:
            return
        self._tasks.append(_Task(batch, serving, outcome))
        held = sum(task.batch.n_atoms for task in self._tasks)
        while held > ATOMS_KEPT and len(self._tasks) > 1:
            held -= self._tasks[0].batch.n_atoms
            self._skip(self._tasks.popleft())

    @property
    def waits(self) -> bool:
        """Whether there is something to do."""
        return bool(self._tasks)

    def _skip(self, task: _Task) -> None:
        for run, start, end in _runs(task.batch, task.done, task.batch.n_frames):
            self._add(task, run, skipped=end - start)

    def step(self) -> None:
        """Predict and compare one piece, small enough not to hold up a frame that comes now."""
        if not self._tasks:
            return
        task = self._tasks[0]
        structures, sites = task.batch.joined
        start = task.done
        reach = int(structures.offsets[start]) + PIECE_ATOMS
        end = max(start + 1, int(np.searchsorted(structures.offsets, reach, side="right")) - 1)
        end = min(end, len(structures))
        if sites is not None:
            own = (sites.structure >= start) & (sites.structure < end)
            sites = Sites(sites.structure[own] - start, sites.atom[own])
        assert task.serving.shadow is not None
        try:
            found = task.serving.shadow.predict(structures[start:end], sites, task.batch.absorber)
        except Exception:  # noqa: BLE001 - a model that is being tried must cost no frame
            found = None
        for run, first, last in _runs(task.batch, start, end):
            self._compare(task, run, found, start, first, last)
        task.done = end
        if task.done >= len(structures):
            self._tasks.popleft()

    def _compare(
        self, task: _Task, run: str, found: Prediction | None, start: int, first: int, last: int
    ) -> None:
        percent = (
            np.zeros(0) if found is None else _percent(task.outcome, found, start, first, last)
        )
        failed = last - first if found is None else 0
        self._add(task, run, frames=last - first - failed, failed=failed, percent=percent)

    def _add(
        self,
        task: _Task,
        run: str,
        *,
        frames: int = 0,
        skipped: int = 0,
        failed: int = 0,
        percent: NDArray[np.float64] | None = None,
    ) -> None:
        assert task.serving.shadow is not None
        served = task.serving.champion.manifest.reference
        beside = task.serving.shadow.manifest.reference
        count = ShadowCount(
            run=run,
            served=served,
            shadow=beside,
            frames=frames,
            skipped=skipped,
            failed=failed,
            sites=0 if percent is None else len(percent),
            max_percent=0.0 if percent is None else float(percent.max(initial=0.0)),
            bins={} if percent is None else bins_of(percent),
        )
        key = (run, served, beside)
        self._counts[key] = self._counts[key].plus(count) if key in self._counts else count

    def take(self) -> list[ShadowCount]:
        """What was counted since the last time."""
        counts, self._counts = list(self._counts.values()), {}
        return counts


def _runs(batch: Batch, start: int, end: int) -> list[tuple[str, int, int]]:
    """The runs of frames start to end of a batch, each with its own part of them."""
    parts: list[tuple[str, int, int]] = []
    at = 0
    for job in batch.jobs:
        first, last = max(start, at), min(end, at + job.block.n_frames)
        at += job.block.n_frames
        if first >= last:
            continue
        if parts and parts[-1][0] == job.block.run:
            parts[-1] = (job.block.run, parts[-1][1], last)
        else:
            parts.append((job.block.run, first, last))
    return parts


def _percent(
    outcome: Outcome, found: Prediction, start: int, first: int, last: int
) -> NDArray[np.float64]:
    """How far the two are apart, percent of the champion's spectrum, for every common site.

    Frames first to last of the batch; those of a challenger are left out.
    """
    low, high = np.searchsorted(outcome.sites.structure, [first, last])
    served = _keys(outcome.sites.structure[low:high], outcome.sites.atom[low:high])
    beside = _keys(found.sites.structure + start, found.sites.atom)
    if outcome.taken is not None:
        by_champion = ~outcome.taken[outcome.sites.structure[low:high]]
        served = np.where(by_champion, served, -1)
    _, mine, theirs = np.intersect1d(served, beside, return_indices=True)
    own = outcome.intensity[low:high][mine]
    percent = np.abs(percentage_error(found.intensity[theirs], own))
    return percent[np.isfinite(percent)]


def _keys(structure: NDArray[np.int64], atom: NDArray[np.int64]) -> NDArray[np.int64]:
    return (structure << np.int64(32)) + atom
