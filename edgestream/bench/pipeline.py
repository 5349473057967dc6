"""End to end: what all processes together use for a frame, against predicting it in process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import edgestream
from edgestream.bench.machine import file_system
from edgestream.bench.predict import single_network
from edgestream.bench.processes import CpuTime, cpu_of_this_thread
from edgestream.bench.profile import Profile, profiled
from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.stand import Stand
from edgestream.bench.structures import Movie, movie
from stream.settings import Settings
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
    workers: int
    direct_us: Figure
    total_us: Figure
    ratio: Figure
    frames_per_s: Figure
    runs: list[Costs]
    profile: Profile = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        """The processes: producer, server, worker 0, ..., writer."""
        return list(self.runs[0].cpu)

    def us(self, role: str) -> Figure:
        """CPU a frame of one process, microseconds."""
        return Figure.of([1e6 * run.cpu[role].total_s / run.frames for run in self.runs])


def measure_pipeline(request: Request) -> Section:
    """Push frames in bulk, several times, and compare with ``predict`` on the same frames.

    With the asked-for model, then (as ``pipeline_single_...``) with the single network: the less
    a prediction costs, the more the way of a frame weighs.
    """
    film = movie(request.data)
    models = {"pipeline": request.model, "pipeline_single": single_network(request.models)}
    section = Section()
    for prefix, model in models.items():
        if model is not None:
            report = run_pipeline(replace(request, model=model), film)
            section.figures.update(_figures(prefix, report))
            section.used[prefix] = _used(request, film, report)
            section.details[prefix] = report
    return section


def _figures(prefix: str, report: PipelineReport) -> dict[str, Figure]:
    return {
        f"{prefix}_cpu_ratio": report.ratio,
        f"{prefix}_frames_per_s": report.frames_per_s,
        f"{prefix}_us_all": report.total_us,
        **{f"{prefix}_us_{role.replace(' ', '_')}": report.us(role) for role in report.roles},
        f"{prefix}_us_predict": report.direct_us,
    }


def _used(request: Request, film: Movie, report: PipelineReport) -> str:
    return (
        f"{report.runs[0].frames} frames, {len(report.runs)} x, of {film.name}; {report.model}; "
        f"{report.workers} worker(s); files in {request.folder} ({file_system(request.folder)})"
    )


def run_pipeline(request: Request, film: Movie) -> PipelineReport:
    """Start-up is left out: every worker has predicted and the writer finished a file before.

    Each run is between two measurements of the direct way, whose mean it is compared with.
    """
    model, batch = request.model, film.structures[: request.frames]
    parts = film.repeated(request.frames)
    runs: list[Costs] = []
    seen: Profile = {}
    direct = [direct_us(batch, request)]
    with stand_at_work(request, batch) as stand:
        for number in range(request.repeat):
            request.tell(f"pipeline, {model}, run {number + 1} of {request.repeat}")
            runs.append(run_costs(stand, f"run-{number}", model, parts))
            direct.append(direct_us(batch, request))
        if request.profile:
            seen = _profile(stand, model, parts)
    beside = [(a + b) / 2 for a, b in pairwise(direct)]
    return PipelineReport(
        model=model,
        workers=n_workers(request),
        direct_us=Figure.of(direct),
        total_us=Figure.of([run.total_us for run in runs]),
        ratio=Figure.of([run.total_us / d for run, d in zip(runs, beside, strict=True)]),
        frames_per_s=Figure.of([run.frames / run.disk_s for run in runs]),
        runs=runs,
        profile=seen,
    )


def n_workers(request: Request) -> int:
    """As asked for, or as many as ``edgestream run`` would start."""
    return request.workers or max(1, cores() - 1)


@contextmanager
def stand_at_work(
    request: Request, frames: StructureBatch, settings: Settings | None = None
) -> Iterator[Stand]:
    """A service with a writer, whose parts have all worked already."""
    with (
        tempfile.TemporaryDirectory(dir=request.folder, prefix="edgestream-bench-") as out,
        Stand(Path(out), settings, models=request.models) as stand,
    ):
        stand.start_writer()
        stand.start_workers(n_workers(request))
        stand.warm(request.model, frames[:WARM_FRAMES])
        yield stand


def direct_us(batch: StructureBatch, request: Request) -> float:
    """Microseconds a frame of ``edgestream.predict`` on all structures at once."""
    used = cpu_seconds(
        lambda: edgestream.predict(batch, request.model, models=request.models),
        repeat=min(3, request.samples),
        least_s=0.1,
    )
    return 1e6 * used.median / len(batch)


def run_costs(stand: Stand, run: str, model: str, parts: Sequence[StructureBatch]) -> Costs:
    """Push a whole run and wait for its file."""
    n_frames = sum(map(len, parts))
    before, commands = stand.cpu(), stand.commands()
    started, own = time.monotonic(), cpu_of_this_thread()
    producer = stand.producer(run, model)
    for part in parts:
        producer.push(part)
    producer.seal()
    pushing = cpu_of_this_thread() - own
    stand.until_written(run, n_frames)
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


def _profile(stand: Stand, model: str, parts: list[StructureBatch]) -> Profile:
    python = {role: pid for role, pid in stand.pids().items() if role != "server"}
    with profiled({"producer": os.getpid(), **python}) as seen:
        run_costs(stand, "profiled", model, parts)
    return seen


def _by_command(
    before: Mapping[str, float], after: Mapping[str, float], frames: int
) -> dict[str, float]:
    used = {name: (us - before.get(name, 0.0)) / frames for name, us in after.items()}
    return {name: us for name, us in sorted(used.items(), key=lambda item: -item[1]) if us > 0.01}
