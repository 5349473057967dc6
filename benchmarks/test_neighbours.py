"""The search for neighbours alone, from small to large frames, and vesin on the same frames.

vesin lists the neighbours of every atom, the search only those of the absorbers; ``us_a_site`` is
the least time of a batch for each absorber in it.
pytest benchmarks/test_neighbours.py --benchmark-timer=time.process_time
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xas.faults import CheckedStructures
from xas.structure import Sites, StructureBatch
from xas.wacsf_kernel import neighbours

CUTOFF = 6.0
FRAMES = {50: (64, 1), 1000: (64, 1), 100_000: (1, 1000)}
"""Atoms of a frame -> frames, absorbers in each."""


def frame(n_atoms: int, periodic: bool) -> StructureBatch:
    """89 neighbours within the cutoff, where there is no surface near."""
    rng = np.random.default_rng(1)
    side = (n_atoms / (89.0 / (4.0 / 3.0 * np.pi * CUTOFF**3))) ** (1.0 / 3.0)
    n = int(np.ceil(n_atoms ** (1.0 / 3.0) - 1e-9))
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3), axis=-1).reshape(-1, 3)[:n_atoms]
    positions = grid * (side / n) + rng.normal(0.0, 0.25, grid.shape)
    cell = ([np.eye(3) * side], [[True] * 3]) if periodic else (None, None)
    return StructureBatch.from_arrays(rng.choice([1, 8], n_atoms), positions, None, *cell)


@pytest.mark.parametrize("periodic", [False, True], ids=["molecular", "periodic"])
@pytest.mark.parametrize("n_atoms", FRAMES)
def test_neighbours_of_absorbers(benchmark: Any, n_atoms: int, periodic: bool) -> None:
    n_frames, n_sites = FRAMES[n_atoms]
    batch = StructureBatch.concatenate([frame(n_atoms, periodic)] * n_frames)
    atom = np.linspace(0, n_atoms - 1, n_sites + 2)[1:-1].astype(np.int64)
    sites = Sites(np.repeat(np.arange(n_frames), n_sites), np.tile(atom, n_frames))
    checked = CheckedStructures(batch, CUTOFF)
    vectors, _, _ = benchmark(lambda: neighbours(checked, sites, CUTOFF))
    benchmark.extra_info["us_a_site"] = benchmark.stats.stats.min / len(sites) * 1e6
    assert len(vectors)


@pytest.mark.parametrize("periodic", [False, True], ids=["molecular", "periodic"])
@pytest.mark.parametrize("n_atoms", FRAMES)
def test_neighbours_of_all_atoms_by_vesin(benchmark: Any, n_atoms: int, periodic: bool) -> None:
    vesin = pytest.importorskip("vesin")
    batch = frame(n_atoms, periodic)
    points = batch.positions.astype(np.float64)
    box = np.zeros((3, 3)) if batch.cells is None else batch.cells[0]
    search = vesin.NeighborList(cutoff=CUTOFF, full_list=True)
    first, _ = benchmark.pedantic(
        lambda: search.compute(points=points, box=box, periodic=periodic, quantities="iD"), rounds=3
    )
    benchmark.extra_info["us_a_site"] = benchmark.stats.stats.min / FRAMES[n_atoms][1] * 1e6
    assert len(first)
