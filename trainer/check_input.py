"""Two molecules built from textbook geometry, by which a model is tested where it runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xas.edges import atomic_number
from xas.structure import Sites, StructureBatch

Array = NDArray[np.float64]


def check_structures(element: str) -> tuple[StructureBatch, Sites]:
    """A metallocene and a pentacarbonyl of ``element``; the absorber is atom 0 of each."""
    absorber = atomic_number(element)
    molecules = [metallocene(absorber), pentacarbonyl(absorber)]
    sizes = [len(numbers) for numbers, _ in molecules]
    batch = StructureBatch.from_arrays(
        np.concatenate([numbers for numbers, _ in molecules]),
        np.concatenate([positions for _, positions in molecules]),
        np.cumsum([0, *sizes]),
    )
    return batch, Sites(np.arange(len(batch)), np.zeros(len(batch), dtype=np.int64))


def metallocene(absorber: int) -> tuple[Array, Array]:
    """Two eclipsed C5H5 rings as in ferrocene: C at 1.21, H at 2.29 angstrom of the axis."""
    angle = 2.0 * np.pi * np.arange(5) / 5.0
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(5)], axis=1)
    up = np.array([0.0, 0.0, 1.66])
    atoms = [radius * ring + side * up for side in (1.0, -1.0) for radius in (1.21, 2.29)]
    numbers = np.array([absorber, *[6] * 5, *[1] * 5, *[6] * 5, *[1] * 5])
    return numbers, np.concatenate([np.zeros((1, 3)), *atoms])


def pentacarbonyl(absorber: int) -> tuple[Array, Array]:
    """A trigonal bipyramid as Fe(CO)5: M-C 1.81 (axial) and 1.83, C-O 1.14 angstrom."""
    angle = 2.0 * np.pi * np.arange(3) / 3.0
    equator = np.stack([np.cos(angle), np.sin(angle), np.zeros(3)], axis=1)
    axis = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    directions = np.concatenate([axis, equator])
    length = np.array([1.81, 1.81, 1.83, 1.83, 1.83])[:, None]
    positions = [np.zeros((1, 3)), directions * length, directions * (length + 1.14)]
    return np.array([absorber, *[6] * 5, *[8] * 5]), np.concatenate(positions)
