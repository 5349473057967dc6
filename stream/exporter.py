"""Metrics of the service as a whole: asked of the server whenever Prometheus asks, kept nowhere."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.broker import RunState, ShardState, WorkerState
from stream.redis_views import RedisViews
from stream.telemetry import METRICS, PRIORITIES, RUN_STATES, STAGES, WORKER_STATES
from xas.errors import EdgestreamError

Samples = dict[tuple[str, ...], float]  # by the values of the labels


class Exporter(Collector):
    """What the server knows, as metrics; only ``edgestream_server_up`` where it does not answer."""

    def __init__(self, views: RedisViews) -> None:
        self._views = views

    @property
    def registry(self) -> CollectorRegistry:
        """A registry with this alone."""
        found = CollectorRegistry(auto_describe=False)
        found.register(self)
        return found

    def describe(self) -> list[Metric]:
        """None in advance: the server may be away."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask the server; see ``stream.telemetry`` for what each means."""
        found: dict[str, Samples] = {"server_up": {(): 0.0}}
        with contextlib.suppress(EdgestreamError):
            found = {**self._asked(), "server_up": {(): 1.0}}
        for row in (m for m in METRICS if m.by == "exporter"):
            samples = found.get(row.name.removeprefix("edgestream_").removesuffix("_total"), {})
            family = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
            made = family(row.name, row.about, labels=row.labels)
            for values, number in samples.items():
                made.add_metric(values, number)
            if samples:
                yield made

    def _asked(self) -> dict[str, Samples]:
        used, limit = self._views.memory_bytes()
        return {
            "server_memory_bytes": {(): used},
            "server_memory_limit_bytes": {(): limit} if limit else {},
            **_of_runs(self._views.runs()),
            **_of_shards(self._views.shards()),
            "workers": _counted(map(_worker_state, self._views.workers()), WORKER_STATES),
        }


def _of_runs(runs: Sequence[RunState]) -> dict[str, Samples]:
    return {
        "accepted_frames": {(): sum(r.next_index for r in runs)},
        "disk_rows": {(): sum(r.watermark for r in runs)},
        "dead_frames": {(): sum(r.dead for r in runs)},
        "given_up_frames": {(): sum(r.dropped for r in runs)},
        "backlog_frames": {(): sum(max(0, r.next_index - r.watermark) for r in runs)},
        "runs": _counted(map(_run_state, runs), RUN_STATES),
    }


def _of_shards(shards: Sequence[ShardState]) -> dict[str, Samples]:
    waiting = {p: sum(s.waiting[p] for s in shards) for p in PRIORITIES}
    return {
        "backlog_bytes": {(p,): sum(s.held_bytes[p] for s in shards) for p in PRIORITIES},
        "waiting_blocks": {(p,): n for p, n in waiting.items()},
        "pending_blocks": {(): sum(s.pending for s in shards)},
        "result_blocks": {(): sum(s.results for s in shards)},
        "oldest_seconds": {(g,): max(s.oldest_s[g] for s in shards) for g in STAGES},
        "writer_up": {(str(s.shard),): float(s.writer_alive) for s in shards},
    }


def _counted(states: Iterator[str], known: Sequence[str]) -> Samples:
    counts = Counter(states)
    return {(state,): counts[state] for state in known}


def _run_state(run: RunState) -> str:
    if run.refusal:
        return "refused"
    if run.finished:
        return "finished"
    return "open" if run.sealed is None else "sealed"


def _worker_state(worker: WorkerState) -> str:
    if worker.stopped:
        return "stopped"
    return "troubled" if worker.problem else "working"
