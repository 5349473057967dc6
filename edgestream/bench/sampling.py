"""Figures: medians with their range."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity; ``samples`` is how many times it was measured."""

    median: float
    min: float
    max: float
    samples: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of at least one value."""
        return cls(
            median=statistics.median(values), min=min(values), max=max(values), samples=len(values)
        )

    def scaled(self, factor: float) -> Figure:
        """In other units."""
        return Figure(
            median=self.median * factor,
            min=self.min * factor,
            max=self.max * factor,
            samples=self.samples,
        )


def cpu_seconds(work: Callable[[], object], *, repeat: int, least_s: float = 0.05) -> Figure:
    """CPU time of this process for one call of ``work``, which is called once before for warmth.

    Each of the ``repeat`` samples runs ``work`` until it has used ``least_s``.
    """
    work()
    return Figure.of([_sample(work, least_s) for _ in range(repeat)])


def _sample(work: Callable[[], object], least_s: float) -> float:
    calls, started = 0, time.process_time()
    while True:
        work()
        calls += 1
        used = time.process_time() - started
        if used >= least_s:
            return used / calls
