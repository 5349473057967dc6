"""Trajectory files: how many frames a second one core reads of each format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.structures import movie
from edgestream.bench.trajectory_files import BINARY, NEED_TOPOLOGY, TEXT, WRITERS, write_xyz
from stream.sources.trajectory import TrajectorySource, open_trajectory
from xas.errors import BadTrajectory
from xas.structure import StructureBatch

TOPOLOGY = "topology.xyz"
TOLERANCE_ANGSTROM = 0.01  # XTC rounds to 0.01


def measure_reading(request: Request) -> Section:
    """Frames a second of CPU, from opening a file to its last chunk, by ``open_trajectory``.

    ``read_text_frames_per_s`` is that of the slowest text format, ``read_binary_...`` likewise.
    """
    film = movie(request.data)
    frames = film.structures[: request.reading_frames]
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="edgestream-bench-") as folder:
        write_xyz(Path(folder) / TOPOLOGY, frames[:1])
        for name, write in WRITERS.items():
            request.tell(f"reading {name}")
            path = Path(folder) / name
            write(path, frames)
            figures[_key(name)] = _rate(path, frames, request.samples)
    for kind, names in (("text", TEXT), ("binary", BINARY)):
        slowest = min(names, key=lambda name: figures[_key(name)].median)
        figures[f"read_{kind}_frames_per_s"] = figures[_key(slowest)]
    figures["read_binary_to_text"] = figures["read_binary_frames_per_s"].scaled(
        1 / figures["read_text_frames_per_s"].median
    )
    return Section(
        figures=figures, used={"reading": f"{len(frames)} frames of {film.name}, in each format"}
    )


def _key(name: str) -> str:
    return f"read_{Path(name).suffix[1:] or name.lower()}_frames_per_s"


def _rate(path: Path, frames: StructureBatch, samples: int) -> Figure:
    _require_same(path, frames)
    seconds = cpu_seconds(lambda: _read(path), repeat=samples)
    return Figure.of([len(frames) / s for s in (seconds.median, seconds.min, seconds.max)])


def _opened(path: Path) -> TrajectorySource:
    topology = path.with_name(TOPOLOGY) if path.name in NEED_TOPOLOGY else None
    return open_trajectory(path, topology=topology)


def _read(path: Path) -> int:
    with _opened(path) as source:
        return sum(len(chunk) for chunk in source)


def _require_same(path: Path, frames: StructureBatch) -> None:
    """BadTrajectory where a file does not give back what was written: its speed is of no worth."""
    with _opened(path) as source:
        read = StructureBatch.concatenate([chunk.structures for chunk in source])
    same = np.array_equal(read.offsets, frames.offsets)
    if not same or np.abs(read.positions - frames.positions).max() > TOLERANCE_ANGSTROM:
        raise BadTrajectory(f"{path.name} does not give back the frames that were written to it")
