"""Single live frames on schedule: from when a frame was due to its result in hand, and on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgestream.bench.observer import Marks
from edgestream.bench.pipeline import stand_at_work
from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.bench.stand import Stand
from edgestream.bench.structures import movie
from xas.errors import Retry
from xas.structure import StructureBatch

LOADS = {"tenth": 0.1, "half": 0.5, "nine_tenths": 0.9}
WINDOWS = 3  # a load's figures are the median, least and greatest of as many parts of it
OBSERVER_TIMEOUT_S = 60.0


def measure_latency(request: Request) -> Section:
    """p50 and p99 of single live frames at a tenth, half and nine tenths of what can be sustained.

    Open loop: frames are sent when they are due, whatever became of those before, and a frame's
    latency counts from when it was due. ``sent``: it was pushed, so that what is left of its way
    is not the producer's waiting for its turn. ``result``: another process has the decoded result.
    ``disk``: the watermark has passed it, so its row is durable. ``file``: the file that people
    open shows it.
    """
    film = movie(request.data)
    frames = list(film.structures)
    figures: dict[str, Figure] = {}
    with stand_at_work(request, film.structures) as stand:
        request.tell("latency, capacity")
        capacity = _capacity(stand, request, frames)
        figures["latency_capacity_frames_per_s"] = Figure.of([capacity])
        for name, load in LOADS.items():
            request.tell(f"latency, {name.replace('_', ' ')} load")
            sent = send_on_schedule(stand, f"load-{name}", request, frames, load * capacity)
            for what, late in sent.items():
                figures |= _percentiles(f"latency_{what}", name, late)
    words = f"single frames of {film.name}, live, open loop, {request.latency_s:g} s a load"
    return Section(figures=figures, used={"latency": words})


def _percentiles(prefix: str, load: str, late: NDArray[np.float64]) -> dict[str, Figure]:
    windows = np.array_split(1e3 * late, WINDOWS)
    return {
        f"{prefix}_p{p}_ms_{load}_load": Figure.of([float(np.percentile(w, p)) for w in windows])
        for p in (50, 99)
    }


def _capacity(stand: Stand, request: Request, frames: list[StructureBatch]) -> float:
    """Frames a second, pushed one by one as fast as one producer can, until the last result.

    Watched as the loads are, since watching takes its share of the cores.
    """
    run, n = "capacity", 0
    with _watching(stand, run, "results", "disk") as finish:
        producer = stand.producer(run, request.model, "live")
        started = time.time()
        while time.time() < started + request.latency_s:
            producer.push(frames[n % len(frames)])
            n += 1
        producer.seal()
        marks = finish(n)["results"]["result"]
    stand.until_finished(run)
    return n / (max(at for _, _, at in marks) - started)


def send_on_schedule(
    stand: Stand, run: str, request: Request, frames: list[StructureBatch], rate: float
) -> dict[str, NDArray[np.float64]]:
    """Latencies in seconds, by what was waited for; (n_frames,) in the order of the frames."""
    n = max(2 * WINDOWS, int(rate * request.latency_s))
    with _watching(stand, run, "results", "disk") as finish:
        producer = stand.producer(run, request.model, "live")
        due = time.time() + 0.05 + np.arange(n) / rate
        sent = np.empty(n)
        for i, at in enumerate(due.tolist()):
            time.sleep(max(0.0, at - time.time()))
            producer.push(frames[i % len(frames)])
            sent[i] = time.time()
        producer.seal()
        seen = finish(n)
    stand.until_finished(run)
    times = {what: _times(spans, n) for what, spans in {**seen["results"], **seen["disk"]}.items()}
    missed = np.isnan(times["result"])  # its observer slept for longer than a commit takes
    times["result"][missed] = times["disk"][missed]
    assert all(np.isfinite(at).all() for at in times.values()), "an observer missed a frame"
    return {"sent": sent - due, **{what: at - due for what, at in times.items()}}


def _times(spans: list[tuple[int, int, float]], n: int) -> NDArray[np.float64]:
    """When each frame was seen; NaN: never."""
    at = np.full(n, np.nan)
    for first, end, when in spans:
        at[first:end] = when
    return at


@dataclass(frozen=True, slots=True)
class _Observer:
    what: str
    process: subprocess.Popen[str]

    def finish(self, n_frames: int) -> Marks:
        """Let it see n frames; what it saw."""
        try:
            out, _ = self.process.communicate(f"{n_frames}\n", timeout=OBSERVER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Retry(
                f"bench: {self.what} of {n_frames} frames were waited for in vain"
            ) from None
        marks: Marks = json.loads(out)
        return marks


@contextmanager
def _watching(stand: Stand, run: str, *whats: str) -> Iterator[Callable[[int], dict[str, Marks]]]:
    """Observers of a run, ready when the block begins; what they saw, once told how many."""
    observers = [_observer(stand, run, what) for what in whats]
    try:
        yield lambda n: {o.what: o.finish(n) for o in observers}
    finally:
        for observer in observers:
            observer.process.kill()
            observer.process.communicate()


def _observer(stand: Stand, run: str, what: str) -> _Observer:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgestream.bench.observer", what, stand.url, run],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.wait()
        raise Retry(f"bench: the observer of {what} did not start")
    return _Observer(what, process)
