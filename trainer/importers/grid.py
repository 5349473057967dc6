"""Energy grids as people write them: MIN:MAX:N, or a file of numbers."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import MAX_ENERGIES
from xas.edges import edge_energy_ev
from xas.errors import BadModel

FAR_FROM_EDGE_EV = 200.0
"""A grid that comes no nearer to the edge is in another unit, or relative to the edge."""

Grid = tuple[float, ...]


def read_grid(words: str) -> Grid:
    """The energies (eV) of ``MIN:MAX:N``, or of a text or .npy file with one column of them."""
    where = f"energies {words!r}"
    grid = _evenly(words) if words.count(":") == 2 else _from_file(Path(words), where)
    if fault := grid_fault(grid):
        raise BadModel(f"{where}: {fault}")
    return grid


def grid_fault(grid: Grid) -> str | None:
    """What is wrong with a grid as such."""
    if not 2 <= len(grid) <= MAX_ENERGIES:
        return f"{len(grid)} energies; 2 to {MAX_ENERGIES} are possible"
    if not all(map(math.isfinite, grid)):
        return "an energy is not finite"
    return "the energies do not rise" if any(b <= a for a, b in pairwise(grid)) else None


def require_near_edge(grid: Grid, element: str, edge: str) -> None:
    """Raise BadModel for a grid that cannot be eV of this edge; Reject where there is no edge."""
    at = edge_energy_ev(element, edge)
    if grid[0] - FAR_FROM_EDGE_EV <= at <= grid[-1] + FAR_FROM_EDGE_EV:
        return
    raise BadModel(
        f"energies {grid[0]:g} to {grid[-1]:g} are not eV near the {element} {edge} edge "
        f"({at:g} eV): give absolute energies in eV, not keV, nor relative to the edge, "
        "or name the right element and edge"
    )


def shortest_decimals(values: NDArray[np.float32]) -> Grid:
    """For each float32 the shortest decimal number that rounds to it: 7097.33 for 7097.3301."""
    return tuple(float(str(value)) for value in np.asarray(values, dtype=np.float32))


def _evenly(words: str) -> Grid:
    try:
        low, high, n = words.split(":")
        count = int(n)
        if not 2 <= count <= MAX_ENERGIES:
            raise ValueError(n)
        return tuple(np.linspace(float(low), float(high), count).tolist())
    except ValueError:
        raise BadModel(f"energies {words!r}: write MIN:MAX:N, e.g. 7097:7172:226") from None


def _from_file(path: Path, where: str) -> Grid:
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with warnings.catch_warnings(action="ignore"):  # an empty file is refused below
                values = np.loadtxt(path, dtype=np.float64, comments="#", ndmin=2)
            values = values[:, 0] if values.ndim == 2 and len(values) > 1 else values.ravel()
        return tuple(np.asarray(values, dtype=np.float64).ravel().tolist())
    except OSError as error:
        raise BadModel(
            f"{where}: neither MIN:MAX:N nor a file that can be read ({error.strerror})"
        ) from None
    except (ValueError, EOFError, UnicodeDecodeError):
        raise BadModel(f"{where}: not a file of energies: one a line, eV") from None
