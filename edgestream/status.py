"""What goes on in a service, and what is wrong with it, in plain words."""

from __future__ import annotations

import time
from dataclasses import dataclass

from stream.broker import RunState, ShardState, WorkerState
from stream.redis_broker import RedisBroker
from stream.settings import Settings
from stream.shadows import ShadowDifference
from stream.url_secrets import shown

RATE_WINDOW_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Status:
    """One look at a service. Rates are frames a second over half a second; backlog is frames
    accepted and not yet on disk. ``trouble`` names what a person should do something about.
    """

    server: str
    version: str
    runs: list[RunState]
    workers: list[WorkerState]
    shards: list[ShardState]
    shadows: list[ShadowDifference]
    pushed_per_s: float
    written_per_s: float
    backlog: int
    trouble: list[str]


def look(url: str, settings: Settings) -> Status:
    """Look twice, half a second apart; ServerUnreachable where nobody answers."""
    broker = RedisBroker(url, settings)
    version = broker.check_version()
    before, started = broker.runs(), time.monotonic()
    if any(not run.finished for run in before):
        time.sleep(RATE_WINDOW_S)
    runs, seconds = broker.runs(), max(time.monotonic() - started, 1e-3)
    workers, shards = broker.workers(), broker.shards()
    shadows = [ShadowDifference.of(count) for count in broker.shadows()]
    broker.close()
    return Status(
        server=shown(url),
        version=version,
        runs=runs,
        workers=workers,
        shards=shards,
        shadows=shadows,
        pushed_per_s=(_sum(runs, "next_index") - _sum(before, "next_index")) / seconds,
        written_per_s=(_sum(runs, "watermark") - _sum(before, "watermark")) / seconds,
        backlog=sum(_backlog(run) for run in runs),
        trouble=trouble(runs, workers, shards, settings),
    )


def _sum(runs: list[RunState], name: str) -> int:
    return sum(getattr(run, name) for run in runs)


def _backlog(run: RunState) -> int:
    return max(0, run.next_index - run.watermark)


def trouble(
    runs: list[RunState], workers: list[WorkerState], shards: list[ShardState], settings: Settings
) -> list[str]:
    """Each trouble in one sentence that says what to do."""
    found = []
    waiting = sum(sum(s.waiting.values()) for s in shards)
    if waiting and not workers:
        found.append(f"{waiting} blocks of frames wait and no worker runs: edgestream worker")
    unfinished = [run for run in runs if not run.finished and run.next_index]
    found += [
        f"shard {s.shard} has no writer, {s.results} results wait: edgestream writer --out DIR"
        for s in shards
        if not s.writer_alive and (unfinished or s.results)
    ]
    found += [
        f"worker {w.name}{' stopped' if w.stopped else ''}: {w.problem}"
        for w in workers
        if w.problem
    ]
    for run in runs:
        if run.refusal:
            found.append(f"run {run.run!r} is refused by the writer: {run.refusal}")
        if run.dead:
            found.append(f"run {run.run!r} has {run.dead} dead letters: edgestream dlq list")
        if run.held_bytes > 0.9 * settings.high_water_bytes:
            found.append(f"run {run.run!r} is at its high-water mark: its producer is slowed")
        if run.dropped:
            found.append(f"run {run.run!r}: its producer dropped {run.dropped} frames")
    return found
