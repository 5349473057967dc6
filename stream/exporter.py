"""Metrics of the service as a whole: asked of the server whenever Prometheus asks, kept nowhere."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.broker import RunState, ShardState, WorkerState
from stream.jobs import JOBS_AWAY, Jobs, JobState
from stream.label_stream import OUTCOMES, LabelState
from stream.redis_label_stream import RedisLabelStream
from stream.redis_views import RedisViews
from stream.telemetry import (
    ENDINGS,
    METRICS,
    PRIORITIES,
    RUN_STATES,
    STAGES,
    WORKER_STATES,
)
from xas.errors import EdgestreamError

Samples = dict[tuple[str, ...], float]  # by the values of the labels


MOST_TRAININGS = 50
TRAIN, LABEL = "train", "label"  # what jobs may be for


class Exporter(Collector):
    """What two servers know, as metrics; only that one is down where it does not answer.

    queues: the queues of jobs, by the task that their jobs name
    """

    def __init__(
        self, views: RedisViews, labels: RedisLabelStream, queues: Mapping[str, Jobs]
    ) -> None:
        self._views, self._labels, self._queues = views, labels, queues

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
        """Ask the servers; see ``stream.telemetry`` for what each means."""
        found: dict[str, Samples] = {"server_up": {(): 0.0}, "jobs_server_up": {(): 0.0}}
        with contextlib.suppress(EdgestreamError):
            found |= {**self._asked(), "server_up": {(): 1.0}}
        with contextlib.suppress(*JOBS_AWAY):
            found |= {**_of_jobs(self._queues), "jobs_server_up": {(): 1.0}}
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
            **_of_labels(self._labels.state()),
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


def _of_labels(labels: LabelState) -> dict[str, Samples]:
    return {
        "waiting_labels": {(): labels.waiting},
        "waiting_label_bytes": {(): labels.waiting_bytes},
        "labels": {(outcome,): labels.outcomes.get(outcome, 0) for outcome in OUTCOMES},
        "archive_up": {(): float(labels.archive_alive)},
    }


def _of_jobs(queues: Mapping[str, Jobs]) -> dict[str, Samples]:
    counts = {task: jobs.counts() for task, jobs in queues.items()}
    trainings = queues[TRAIN].newest(MOST_TRAININGS)
    endings = [str(job.result.get("ending")) for job in trainings if isinstance(job.result, dict)]
    return {
        "jobs": {(task, s): n for task, found in counts.items() for s, n in found.items()},
        "trainings": _counted(endings, ENDINGS),
        "training_progress_ratio": {(): max(map(_progress, trainings), default=0.0)},
    }


def _progress(job: JobState) -> float:
    """In epochs, of one that runs; what a task reports may be anything."""
    done, total = job.progress.get("epochs"), job.progress.get("of_epochs")
    if job.state != "running" or not isinstance(done, int) or not isinstance(total, int):
        return 0.0
    return min(1.0, done / max(1, total))


def _counted(states: Iterable[str], known: Sequence[str]) -> Samples:
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
