"""A histogram that costs a bisection: counting is on the way of every block."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stream import telemetry


class Tally(Collector):
    """Counts one row of the table by its buckets; for one thread, and for whoever reads it.

    prometheus-client's own takes a lock and looks at each bucket: 2 microseconds instead of 0.4.
    """

    def __init__(self, row: telemetry.Metric) -> None:
        self._row = row
        self._counts = [0] * (len(row.buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one below 0, since clocks of hosts differ, as 0."""
        value = max(0.0, value)
        self._counts[bisect_left(self._row.buckets, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        """As Prometheus wants it: how many are not above each bound."""
        bounds = [*map(float, self._row.buckets), float("inf")]
        reached = accumulate(self._counts.copy())
        buckets = [(_bound(b), n) for b, n in zip(bounds, reached, strict=True)]
        yield HistogramMetricFamily(self._row.name, self._row.about, buckets, self._sum)


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)
