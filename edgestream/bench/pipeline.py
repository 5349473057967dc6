"""End to end: what all processes together use for a frame, against predicting it in process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import edgestream
from edgestream.bench.processes import CpuTime, cpu_of_this_thread
from edgestream.bench.profile import Profile, profiled
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.stand import Stand
from edgestream.bench.structures import Movie
from stream.supervisor import cores
from xas.structure import StructureBatch

WARM_FRAMES = 256


@dataclass(frozen=True, kw_only=True)
class Costs:
    """One run of n frames: seconds until on disk and until the file is finished, CPU by process.

    commands: microseconds a frame within each of the server's commands, by the server's count;
    what a script calls is counted in the script and by itself.
    """

    frames: int
    disk_s: float
    finished_s: float
    cpu: dict[str, CpuTime]
    commands: dict[str, float]

    @property
    def total_us(self) -> float:
        """CPU a frame, all processes."""
        return 1e6 * sum(c.total_s for c in self.cpu.values()) / self.frames


@dataclass(frozen=True, kw_only=True)
class PipelineReport:
    """``edgestream bench pipeline``; ``runs`` in the order they were measured.

    profile: of one more run, which is in no figure.
    """

    model: str
    input: str
    workers: int
    direct_us: Figure
    total_us: Figure
    ratio: Figure
    frames_per_s: Figure
    runs: list[Costs]
    profile: Profile = field(default_factory=dict)


def measure_pipeline(
    movie: Movie,
    *,
    model: str,
    frames: int,
    workers: int | None,
    repeat: int,
    folder: Path,
    profile: bool = False,
) -> PipelineReport:
    """Push ``frames`` frames in bulk, ``repeat`` times, into files in a folder under ``folder``.

    Start-up is left out: every worker has predicted and the writer finished a file before. Each
    run is between two measurements of the direct way, whose mean it is compared with.
    """
    n_workers = workers or max(1, cores() - 1)
    parts = movie.repeated(frames)
    batch = movie.structures
    runs: list[Costs] = []
    direct = [_direct(batch, model)]
    with tempfile.TemporaryDirectory(dir=folder) as out, Stand(Path(out)) as stand:
        stand.start_writer()
        stand.start_workers(n_workers)
        stand.warm(model, batch[:WARM_FRAMES])
        for number in range(repeat):
            runs.append(_run(stand, f"run-{number}", model, parts))
            direct.append(_direct(batch, model))
        seen: Profile = _profile(stand, model, parts) if profile else {}
    beside = [(a + b) / 2 for a, b in zip(direct, direct[1:], strict=False)]
    return PipelineReport(
        model=model,
        input=movie.name,
        workers=n_workers,
        direct_us=Figure.of(direct),
        total_us=Figure.of([run.total_us for run in runs]),
        ratio=Figure.of([run.total_us / d for run, d in zip(runs, beside, strict=True)]),
        frames_per_s=Figure.of([run.frames / run.disk_s for run in runs]),
        runs=runs,
        profile=seen,
    )


def _profile(stand: Stand, model: str, parts: list[StructureBatch]) -> Profile:
    python = {role: pid for role, pid in stand.pids().items() if role != "server"}
    with profiled({"producer": os.getpid(), **python}) as seen:
        _run(stand, "profiled", model, parts)
    return seen


def _direct(batch: StructureBatch, model: str) -> float:
    """Microseconds a frame of ``edgestream.predict`` on the whole trajectory at once."""
    used = cpu_seconds(lambda: edgestream.predict(batch, model), repeat=3, least_s=0.2)
    return 1e6 * used.median / len(batch)


def _run(stand: Stand, run: str, model: str, parts: list[StructureBatch]) -> Costs:
    n_frames = sum(map(len, parts))
    before, commands = stand.cpu(), stand.commands()
    started, own = time.monotonic(), cpu_of_this_thread()
    producer = stand.producer(run, model)
    for part in parts:
        producer.push(part)
    producer.seal()
    pushing = cpu_of_this_thread() - own
    stand.until(lambda: stand.state(run).watermark >= n_frames, f"run {run!r}", 3600.0)
    disk_s = time.monotonic() - started
    stand.until_finished(run)
    finished_s = time.monotonic() - started
    used = {role: now - before[role] for role, now in stand.cpu().items()}
    return Costs(
        frames=n_frames,
        disk_s=disk_s,
        finished_s=finished_s,
        cpu={"producer": pushing, **used},
        commands=_by_command(commands, stand.commands(), n_frames),
    )


def _by_command(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]], frames: int
) -> dict[str, float]:
    used = {
        name: (counts["usec"] - before.get(name, {"usec": 0})["usec"]) / frames
        for name, counts in after.items()
    }
    return {name: us for name, us in sorted(used.items(), key=lambda item: -item[1]) if us > 0.01}
