"""Live frames while a backfill waits in the service, against the same frames without it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgestream.bench.backfill import NO_MARK
from edgestream.bench.latency import send_on_schedule
from edgestream.bench.pipeline import stand_at_work
from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.bench.stand import RUN_TIMEOUT_S, Stand
from edgestream.bench.structures import Movie, movie

LIVE_PER_S = 100.0
RUN = "backfill"
WHATS = ("sent", "result", "disk")
# bulk in slices, as it is, and in the whole blocks that it comes in
WAYS = {"fairness": NO_MARK, "fairness_whole": replace(NO_MARK, slice_atoms=2**40)}


@dataclass
class _Measured:
    """Percentiles of each round in milliseconds, by key; of the backfill, frames a second and the
    fewest that were accepted and not on disk.
    """

    late: dict[str, list[float]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)

    def add(self, part: str, seconds: dict[str, NDArray[np.float64]]) -> None:
        for what in WHATS:
            for p in (50, 99):
                ms = 1e3 * float(np.percentile(seconds[what], p))
                self.late.setdefault(f"{what}_p{p}_ms_{part}", []).append(ms)

    def ratio(self, what: str) -> Figure:
        pairs = zip(
            self.late[f"{what}_p99_ms_behind"], self.late[f"{what}_p99_ms_idle"], strict=True
        )
        return Figure.of([behind / idle for behind, idle in pairs])

    def figures(self, prefix: str) -> dict[str, Figure]:
        found = {f"{prefix}_{key}": Figure.of(values) for key, values in self.late.items()}
        found |= {f"{prefix}_{what}_p99_ratio": self.ratio(what) for what in WHATS[1:]}
        found[f"{prefix}_backfill_frames_per_s"] = Figure.of(self.rates)
        found[f"{prefix}_backfill_waiting"] = Figure.of(self.waiting)
        return found


def measure_fairness(request: Request) -> Section:
    """p99 of single live frames behind a backfill that never lets the queue of bulk run empty,
    divided by their p99 without it. As in ``latency`` otherwise.

    ``fairness_whole_...``: the same where bulk is not predicted in slices; in turn, each time in a
    service of its own.
    """
    film = movie(request.data)
    measured = {prefix: _Measured() for prefix in WAYS}
    for i in range(request.repeat):
        for prefix in WAYS:
            request.tell(f"{prefix}, round {i + 1} of {request.repeat}")
            _measure_round(request, film, prefix, measured[prefix])
    section = Section(used={"fairness": _used(request, film)})
    for prefix, found in measured.items():
        section.figures.update(found.figures(prefix))
    return section


def _used(request: Request, film: Movie) -> str:
    return (
        f"{LIVE_PER_S:g} single frames/s of {film.name}, {request.latency_s:g} s, behind at least "
        f"{request.backfill:,} frames of bulk; {request.model}; {request.repeat} x"
    )


def _measure_round(request: Request, film: Movie, prefix: str, measured: _Measured) -> None:
    frames = list(film.structures)
    with stand_at_work(request, film.structures, WAYS[prefix]) as stand:
        measured.add("idle", send_on_schedule(stand, "idle", request, frames, LIVE_PER_S))
        request.tell(f"{prefix}, {request.backfill:,} frames of bulk are pushed")
        with _backfill(stand, request):
            waiting, before, started = _waiting(stand), _on_disk(stand), time.monotonic()
            measured.add("behind", send_on_schedule(stand, "live", request, frames, LIVE_PER_S))
            seconds = time.monotonic() - started
            measured.rates.append((_on_disk(stand) - before) / seconds)
            measured.waiting.append(min(waiting, _waiting(stand)))


@contextmanager
def _backfill(stand: Stand, request: Request) -> Iterator[None]:
    """A backfill in a process of its own; from when all of it is accepted and its first rows are on
    disk until it is killed.
    """
    words = [stand.url, RUN, request.model, str(request.backfill), str(request.data or "")]
    command = [sys.executable, "-m", "edgestream.bench.backfill", *words]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            stand.until(lambda: _is_full(stand, request.backfill), f"run {RUN!r}", RUN_TIMEOUT_S)
            yield
        finally:
            process.kill()


def _is_full(stand: Stand, n_frames: int) -> bool:
    known = stand.broker.run(RUN) is not None
    return known and _waiting(stand) >= n_frames and _on_disk(stand) > 0


def _waiting(stand: Stand) -> int:
    """Frames of the backfill that are accepted and not yet on disk."""
    state = stand.state(RUN)
    return state.next_index - state.watermark


def _on_disk(stand: Stand) -> int:
    return stand.state(RUN).watermark
