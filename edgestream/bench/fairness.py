"""Live frames while a backfill fills the service, against the same frames without it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from edgestream.bench.latency import send_on_schedule
from edgestream.bench.pipeline import stand_at_work
from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.bench.stand import Stand
from edgestream.bench.structures import movie
from stream.settings import Settings
from xas.structure import StructureBatch

LIVE_PER_S = 100.0
ROUNDS = 3
WHATS = ("sent", "result", "disk")
# a backfill of a million frames is always this far ahead of the workers, and never further
SETTINGS = Settings(high_water_bytes=16 * 2**20)


@dataclass
class _Measured:
    """Percentiles of each round in milliseconds, by key; frames a second of the backfill."""

    late: dict[str, list[float]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)

    def add(self, part: str, seconds: dict[str, np.ndarray]) -> None:
        for what in WHATS:
            for p in (50, 99):
                ms = 1e3 * float(np.percentile(seconds[what], p))
                self.late.setdefault(f"{what}_p{p}_ms_{part}", []).append(ms)

    def ratio(self, what: str) -> Figure:
        pairs = zip(
            self.late[f"{what}_p99_ms_behind"], self.late[f"{what}_p99_ms_idle"], strict=True
        )
        return Figure.of([behind / idle for behind, idle in pairs])


def measure_fairness(request: Request) -> Section:
    """p99 of single live frames behind a backfill that never lets the queue of bulk run empty,
    divided by their p99 without it, in turn in one service. As in ``latency`` otherwise.
    """
    film, measured = movie(request.data), _Measured()
    frames = list(film.structures)
    with stand_at_work(request, film.structures, SETTINGS) as stand:
        for i in range(ROUNDS):
            request.tell(f"fairness, idle, round {i + 1} of {ROUNDS}")
            measured.add("idle", send_on_schedule(stand, f"idle-{i}", request, frames, LIVE_PER_S))
            request.tell(f"fairness, behind a backfill, round {i + 1} of {ROUNDS}")
            _behind(stand, i, request, frames, measured)
    figures = {f"fairness_{key}": Figure.of(values) for key, values in measured.late.items()}
    figures |= {f"fairness_{what}_p99_ratio": measured.ratio(what) for what in WHATS[1:]}
    figures["fairness_backfill_frames_per_s"] = Figure.of(measured.rates)
    words = f"{LIVE_PER_S:g} single frames/s of {film.name}, {request.latency_s:g} s a round"
    return Section(figures=figures, used={"fairness": words})


def _behind(
    stand: Stand, i: int, request: Request, frames: list[StructureBatch], measured: _Measured
) -> None:
    run = f"backfill-{i}"
    with _backfill(stand, run, request):
        before, started = stand.state(run).watermark, time.monotonic()
        sent = send_on_schedule(stand, f"behind-{i}", request, frames, LIVE_PER_S)
        seconds = time.monotonic() - started
        measured.rates.append((stand.state(run).watermark - before) / seconds)
    measured.add("behind", sent)
    stand.until_written(run, stand.state(run).next_index)


@contextmanager
def _backfill(stand: Stand, run: str, request: Request) -> Iterator[None]:
    """A backfill in a process of its own; from when its queue is full and its first rows are on
    disk until it is killed.
    """
    mark, data = str(SETTINGS.high_water_bytes), str(request.data or "")
    words = ["edgestream.bench.backfill", stand.url, run, request.model, mark, data]
    with subprocess.Popen([sys.executable, "-m", *words], stdin=subprocess.DEVNULL) as process:
        try:
            stand.until(lambda: _is_full(stand, run), f"run {run!r}")
            yield
        finally:
            process.kill()


def _is_full(stand: Stand, run: str) -> bool:
    state = stand.broker.run(run)
    full = state is not None and state.held_bytes > SETTINGS.high_water_bytes / 2
    return full and state is not None and state.watermark > 0
