"""Small trajectories, made here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from stream.sources.frames import FrameChunk
from stream.sources.trajectory import TrajectorySource
from xas.errors import BadTrajectory

Frames = list[Atoms]


@pytest.fixture
def water_and_iron() -> Frames:
    """Seven frames of four atoms that move."""
    random = np.random.default_rng(1)
    base = np.array([[0.0, 0.0, 0.0], [2.0, 0.1, 0.0], [2.6, 0.8, 0.1], [2.5, -0.7, -0.2]])
    return [Atoms("FeOH2", positions=base + 0.1 * random.standard_normal((4, 3))) for _ in range(7)]


@pytest.fixture
def crystal(water_and_iron: Frames) -> Frames:
    """The same in a skewed cell, periodic in all directions."""
    for frame in water_and_iron:
        frame.cell = [[6.0, 0.0, 0.0], [1.0, 7.0, 0.0], [0.5, -0.4, 8.0]]
        frame.pbc = True
    return water_and_iron


Collect = Callable[[TrajectorySource], tuple[list[FrameChunk], str]]


@pytest.fixture
def collect() -> Collect:
    """Read a source to its end: the chunks, and what it complained about."""

    def read(source: TrajectorySource) -> tuple[list[FrameChunk], str]:
        chunks = []
        try:
            for chunk in source:
                chunks.append(chunk)  # noqa: PERF402 - what came before the error counts
        except BadTrajectory as error:
            return chunks, str(error)
        return chunks, ""

    return read


def positions(chunks: list[FrameChunk]) -> NDArray[np.float32]:
    return np.concatenate([chunk.structures.positions for chunk in chunks])
