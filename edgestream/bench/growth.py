"""Runs of growing length: what a frame costs, how long a file takes to finish, memory."""

from __future__ import annotations

from collections.abc import Mapping

from edgestream.bench.pipeline import run_costs, stand_at_work
from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.bench.structures import movie

SHORT_FRAMES = 20_000  # a run up to so long is repeated


def measure_growth(request: Request) -> Section:
    """CPU a frame of all processes, finishing time and memory, for each length of a run."""
    film = movie(request.data)
    cpu: dict[int, Figure] = {}
    finishing: dict[int, Figure] = {}
    memory: dict[int, dict[str, int]] = {}
    with stand_at_work(request, film.structures) as stand:
        for length in request.growth:
            request.tell(f"growth, {length} frames")
            parts = film.repeated(length)
            repeats = request.repeat if length <= SHORT_FRAMES else 1
            runs = [
                run_costs(stand, f"grow-{length}-{i}", request.model, parts) for i in range(repeats)
            ]
            cpu[length] = Figure.of([run.total_us for run in runs])
            finishing[length] = Figure.of([run.finished_s - run.disk_s for run in runs])
            memory[length] = stand.memory()
    first, last = request.growth[0], request.growth[-1]
    figures = {
        **{f"growth_us_{n}": figure for n, figure in cpu.items()},
        **{f"finish_s_{n}": figure for n, figure in finishing.items()},
        "growth_cpu_ratio": cpu[last].scaled(1 / cpu[first].median),
        **_memory_figures(memory),
    }
    used = f"runs of {', '.join(map(str, request.growth))} frames of {film.name}; {request.model}"
    return Section(figures=figures, used={"growth": used})


def _memory_figures(memory: Mapping[int, Mapping[str, int]]) -> dict[str, Figure]:
    """Resident memory after each run; the ratio is of the process that grew most.

    The ratio is without the server: that holds what is not on disk, up to the high-water mark.
    """
    shortest, *_, longest = memory.values()
    mebibytes = {
        f"memory_mb_{role.replace(' ', '_')}_{n}": size / 2**20
        for n, sizes in memory.items()
        for role, size in sizes.items()
    }
    grown = max(longest[role] / shortest[role] for role in shortest if role != "server")
    return {
        **{key: Figure.of([size]) for key, size in mebibytes.items()},
        "growth_memory_ratio": Figure.of([grown]),
    }
