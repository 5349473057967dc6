"""One worker against two, where nothing else is in their way."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.bench.stand import Stand
from edgestream.bench.structures import movie
from stream.settings import Settings
from stream.supervisor import cores
from xas.structure import StructureBatch

CLAIM_IDLE_S = 600.0  # the workers are paused: nobody may take them for dead
LOOK_S = 0.005


def measure_scaling(request: Request) -> Section:
    """How much faster two workers are than one; one and two in turn.

    There is no writer. The workers are paused while all frames are pushed; measured is the time
    from when they go on until the last result is in the server. ``scaling_by_cpu`` is twice the
    CPU a frame of one worker over that of two: what they would reach on cores of their own.
    """
    film = movie(request.data)
    parts = film.repeated(request.scaling_frames)
    rates: dict[int, list[float]] = {1: [], 2: []}
    costs: dict[int, list[float]] = {1: [], 2: []}
    for number in range(request.scaling_rounds):
        for n in (1, 2):
            request.tell(f"scaling, round {number + 1}, {n} worker(s)")
            seconds, cpu_s = _drain(request, n, parts)
            rates[n].append(request.scaling_frames / seconds)
            costs[n].append(1e6 * cpu_s / request.scaling_frames)
    figures = {
        "scaling_2_workers": Figure.of([b / a for a, b in zip(rates[1], rates[2], strict=True)]),
        "scaling_by_cpu": Figure.of([2 * a / b for a, b in zip(costs[1], costs[2], strict=True)]),
        "scaling_frames_per_s_1": Figure.of(rates[1]),
        "scaling_frames_per_s_2": Figure.of(rates[2]),
        "scaling_us_1": Figure.of(costs[1]),
        "scaling_us_2": Figure.of(costs[2]),
    }
    used = {
        "scaling": f"{request.scaling_frames} frames of {film.name}, pushed beforehand, no writer; "
        f"on {cores()} cores, of which the server takes its share"
    }
    return Section(figures=figures, used=used)


def _drain(request: Request, n: int, parts: Sequence[StructureBatch]) -> tuple[float, float]:
    """Seconds until all is predicted, and seconds of CPU of the workers."""
    settings = Settings(claim_idle_s=CLAIM_IDLE_S, high_water_bytes=2**40)
    with (
        tempfile.TemporaryDirectory(prefix="edgestream-bench-") as out,
        Stand(Path(out), settings, models=request.models) as stand,
    ):
        stand.start_workers(n)
        stand.warm_workers(request.model, parts[0])
        workers = [pid for role, pid in stand.pids().items() if role.startswith("worker")]
        with _paused(workers):
            producer = stand.producer("scaling", request.model)
            for part in parts:
                producer.push(part)
        started, before = time.monotonic(), stand.cpu()
        stand.until_answered(LOOK_S)
        seconds = time.monotonic() - started
        used = stand.cpu()
    return seconds, sum(
        (used[role] - before[role]).total_s for role in used if role.startswith("worker")
    )


@contextmanager
def _paused(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
