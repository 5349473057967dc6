"""Runs of growing length: what a further frame costs, how long a file takes to finish, memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise

from edgestream.bench.pipeline import run_costs, stand_at_work
from edgestream.bench.processes import memory_bytes
from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.bench.structures import movie

SHORT_FRAMES = 20_000  # a run up to so long is repeated
FULL_FRAMES = 100_000  # from here on what holds a commit or a merge is as large as it becomes


def measure_growth(request: Request) -> Section:
    """CPU a frame of all processes, finishing time and memory, for each length of a run."""
    film = movie(request.data)
    cpu: dict[int, Figure] = {}
    finishing: dict[int, Figure] = {}
    memory: dict[int, dict[str, int]] = {}
    with stand_at_work(request, film.structures) as stand:
        mark = stand.settings.high_water_bytes
        for length in request.growth:
            request.tell(f"growth, {length} frames")
            parts = film.repeated(length)
            repeats = request.repeat if length <= SHORT_FRAMES else 1
            runs = [
                run_costs(stand, f"grow-{length}-{i}", request.model, parts) for i in range(repeats)
            ]
            cpu[length] = Figure.of([run.total_us for run in runs])
            finishing[length] = Figure.of([run.finished_s - run.disk_s for run in runs])
            memory[length] = {**stand.memory(), "producer": memory_bytes(os.getpid())}
    figures = {
        **{f"growth_us_{n}": figure for n, figure in cpu.items()},
        **{f"finish_s_{n}": figure for n, figure in finishing.items()},
        **_further(cpu),
        **_memory_figures(memory, mark),
    }
    used = f"runs of {', '.join(map(str, request.growth))} frames of {film.name}; {request.model}"
    return Section(figures=figures, used={"growth": used})


def _further(cpu: Mapping[int, Figure]) -> dict[str, Figure]:
    """CPU of a further frame from each length to the next, and the last of these to the one before.

    A whole run's CPU a frame holds what a run costs however short it is, so that it falls with the
    length even where the frames themselves become dearer.
    """
    us = [
        (longer, (longer * cpu[longer].median - shorter * cpu[shorter].median) / (longer - shorter))
        for shorter, longer in pairwise(cpu)
    ]
    (_, before), (_, last) = us[-2:]
    return {
        **{f"growth_further_us_{n}": Figure.of([value]) for n, value in us},
        "growth_cpu_ratio": Figure.of([last / before]),
    }


def _memory_figures(memory: Mapping[int, Mapping[str, int]], mark: int) -> dict[str, Figure]:
    """Resident memory after each run; what grew most between the two longest of the full ones.

    The server is compared with its mark: frames are pushed faster than they are predicted, so it
    holds as many as it may.
    """
    figures = {
        f"memory_mb_{role.replace(' ', '_')}_{n}": Figure.of([size / 2**20])
        for n, sizes in memory.items()
        for role, size in sizes.items()
    }
    full = [sizes for n, sizes in memory.items() if n >= FULL_FRAMES]
    if len(full) > 1:
        *_, shorter, longest = full
        grown = max(longest[role] / shorter[role] for role in shorter if role != "server")
        figures["growth_memory_ratio"] = Figure.of([grown])
    largest = max(sizes["server"] for sizes in memory.values())
    return {**figures, "growth_server_to_mark": Figure.of([largest / mark])}
