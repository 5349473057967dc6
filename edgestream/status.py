"""What goes on in a service, and what is wrong with it, in plain words."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgestream.passwords import complete_url
from stream.broker import RunState, ShardState, WorkerState
from stream.label_stream import LabelState
from stream.redis_broker import RedisBroker
from stream.redis_label_stream import RedisLabelStream
from stream.settings import Settings
from stream.shadows import ShadowDifference
from stream.url_secrets import has_password, shown

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
    labels = RedisLabelStream(url, settings)
    found = [*trouble(runs, workers, shards, settings), *label_trouble(labels.state())]
    labels.close()
    if found and (words := _reached_by(url)):
        found.append(f"these commands need the server's address too: {words}")
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
        trouble=found,
    )


def _reached_by(url: str) -> str:
    """The option by which another command finds this server; empty: it does so by itself."""
    from edgestream.options import server_url  # with a command line, which the page has none of

    if url == server_url(None):
        return ""
    bare = shown(url)
    has_secret = has_password(url) and complete_url(bare) != url
    secret = f"{'&' if '?' in bare else '?'}password_file=FILE" if has_secret else ""
    return f"--redis-url '{bare}{secret}'"


def _sum(runs: list[RunState], name: str) -> int:
    return sum(getattr(run, name) for run in runs)


def _backlog(run: RunState) -> int:
    return max(0, run.next_index - run.watermark)


def trouble(
    runs: list[RunState], workers: list[WorkerState], shards: list[ShardState], settings: Settings
) -> list[str]:
    """Each trouble in one sentence that says what to do."""
    return [
        *_held_back(runs, shards),
        *stuck(runs, workers, shards),
        *(f"worker {w.name}: {w.problem}" for w in workers if w.problem and not w.stopped),
        *(line for run in runs for line in _of_run(run, settings)),
    ]


def label_trouble(labels: LabelState) -> list[str]:
    """What keeps labels from the archive."""
    if not labels.waiting or labels.archive_alive:
        return []
    return [
        f"{labels.waiting} labels wait and no trainer takes them in: edgestream trainer NAME "
        "--labels DIR"
    ]


def stuck(runs: list[RunState], workers: list[WorkerState], shards: list[ShardState]) -> list[str]:
    """What keeps accepted frames from the disk, and will not pass by itself."""
    waiting = sum(sum(s.waiting.values()) for s in shards)
    unfinished = [run for run in runs if not run.finished and run.next_index]
    found = [
        f"shard {s.shard} has no writer, {s.results} results wait: edgestream writer --out DIR"
        for s in shards
        if not s.writer_alive and (unfinished or s.results)
    ]
    found += [f"worker {w.name} stopped: {w.problem}" for w in workers if w.stopped]
    if waiting and not workers:
        found.insert(0, f"{waiting} blocks of frames wait and no worker runs: edgestream worker")
    return found + [_refused(run) for run in runs if run.refusal]


def _refused(run: RunState) -> str:
    line = f"run {run.run!r} is refused by the writer: {run.refusal}"
    return line + (
        f"; {run.held_bytes} bytes of it wait: resume it, or edgestream discard {run.run}"
        if run.held_bytes
        else ""
    )


def _held_back(runs: list[RunState], shards: list[ShardState]) -> list[str]:
    drained = [shard.drained_at for shard in shards if shard.drained_at is not None]
    found = (
        [
            f"the service is drained since {clock_time(min(drained))}, and takes no frames until: "
            "edgestream drain --release"
        ]
        if drained
        else []
    )
    return found + [
        f"run {run.run!r} is paused since {clock_time(run.paused_at)}: edgestream resume {run.run}"
        for run in runs
        if run.paused_at is not None and run.sealed is None
    ]


def _of_run(run: RunState, settings: Settings) -> list[str]:
    found = []
    if run.dead:
        found.append(f"run {run.run!r} has {run.dead} dead letters: edgestream dlq list")
    if run.held_bytes > 0.9 * settings.high_water_bytes and not run.refusal:
        found.append(f"run {run.run!r} is at its high-water mark: its producer is slowed")
    if run.dropped:
        found.append(f"run {run.run!r}: its producer dropped {run.dropped} frames")
    return found


def clock_time(seconds: float) -> str:
    """A time of this machine's day, with its date."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
