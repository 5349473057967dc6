"""The search in C finds the bits of the plain form, however it lays the structure out."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_structures import crystals, every_atom, first_atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xas import wacsf_kernel
from xas.errors import BadStructure
from xas.faults import CheckedStructures, check_structures
from xas.kernel import instruction_sets
from xas.neighbours import Neighbours, neighbours_of_sites
from xas.structure import Sites, StructureBatch

SKEWED = np.array([[25.0, 0, 0], [9.0, 26.0, 0], [-11.0, 8.0, 24.0]])
PERIODIC = [(p & 1, p >> 1 & 1, p >> 2 & 1) for p in range(8)]


def sorted_sites(near: Neighbours) -> list[NDArray[np.float64]]:
    """Vectors and numbers of each site, in an order of their own."""
    rows = np.column_stack([near.vectors, near.numbers]) + 0.0  # -0.0 and 0.0 alike
    parts = np.split(rows, near.offsets[1:-1])
    return [part[np.lexsort(part.T)] for part in parts]


def assert_same_bits(batch: StructureBatch, sites: Sites, cutoff: float = 6.0) -> None:
    wanted = sorted_sites(neighbours_of_sites(batch, sites, cutoff, "numpy"))
    checked = CheckedStructures(batch, cutoff)
    for name in instruction_sets():
        vectors, numbers, offsets = wacsf_kernel.neighbours(checked, sites, cutoff, name)
        found = Neighbours(vectors=vectors, numbers=numbers, offsets=offsets)
        for site, (a, b) in enumerate(zip(sorted_sites(found), wanted, strict=True)):
            np.testing.assert_array_equal(a, b, err_msg=f"{name}, site {site}")


def sites_of(n_atoms: int, n: int = 14) -> Sites:
    """Enough of one structure that a large one is sorted into bins."""
    atom = np.linspace(0, n_atoms - 1, n).astype(np.int64)
    return Sites(np.zeros(n, np.int64), atom)


def filled(cell: NDArray[np.float64], n: int, pbc: tuple[int, ...], seed: int) -> StructureBatch:
    """Atoms all over a cell and, along its axes, up to two cells outside it."""
    rng = np.random.default_rng(seed)
    fractions = rng.uniform(0.0, 1.0, (n, 3)) + rng.integers(-2, 3, (n, 3)) * np.array(pbc)
    return StructureBatch.from_arrays(
        rng.choice([1, 8, 26], n), fractions @ cell, None, [cell], [np.array(pbc, dtype=bool)]
    )


@given(batch=crystals(), cutoff=st.sampled_from([2.5, 6.0]))
@settings(max_examples=100, deadline=None)
def test_small_cells_come_back_as_images(batch, cutoff):
    if check_structures(batch, cutoff) == [""]:
        assert_same_bits(batch, every_atom(batch), cutoff)


@pytest.mark.parametrize("pbc", PERIODIC)
@pytest.mark.parametrize("n", [900, 2600], ids=["all-looked-at", "binned"])
def test_large_cells_periodic_along_any_axes(pbc, n):
    cell = SKEWED * (2.0 if n > 2000 else 1.0)
    assert_same_bits(filled(cell, n, pbc, 1), sites_of(n))


@given(
    sides=st.tuples(*[st.floats(3.0, 60.0)] * 3),
    shear=st.tuples(*[st.floats(-30.0, 30.0)] * 3),
    pbc=st.sampled_from(PERIODIC),
    n=st.sampled_from([30, 300, 2100]),
    cutoff=st.sampled_from([1.5, 4.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_thin_skewed_and_dense_cells(sides, shear, pbc, n, cutoff, seed):
    cell = np.diag(sides)
    cell[1, 0], cell[2, 0], cell[2, 1] = shear
    batch = filled(cell, n, pbc, seed)
    if check_structures(batch, cutoff) == [""]:
        assert_same_bits(batch, sites_of(n), cutoff)


@given(
    step=st.sampled_from([3.0, 2.0, 1.5, 0.75]),
    pbc=st.sampled_from(PERIODIC),
    shift=st.tuples(*[st.integers(-40, 40)] * 3),
)
@settings(max_examples=30, deadline=None)
def test_atoms_exactly_on_the_borders_of_cell_and_bins(step, pbc, shift):
    side = 14 * step
    grid = np.stack(np.meshgrid(*[np.arange(14) * step] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    batch = StructureBatch.from_arrays(
        np.full(len(grid), 26), grid + np.array(shift) * step, None, [np.eye(3) * side], [pbc]
    )
    assert_same_bits(batch, sites_of(len(grid)), 3.0)


@pytest.mark.parametrize("pbc", PERIODIC)
def test_one_atom_far_out_does_not_hide_the_others(pbc):
    batch = filled(SKEWED * 2.0, 2500, pbc, 3)
    positions = batch.positions.copy()
    positions[77] = (60_000.0, -60_000.0, 60_000.0)
    far = StructureBatch.from_arrays(batch.numbers, positions, None, batch.cells, batch.pbc)
    assert_same_bits(far, Sites(np.zeros(13, np.int64), np.arange(70, 83)))


@pytest.mark.parametrize("shape", [(1, 1, 0), (1, 0, 0), (0, 0, 0)], ids=["sheet", "line", "point"])
def test_structures_without_extent_along_some_axes(shape):
    rng = np.random.default_rng(4)
    positions = rng.uniform(0.0, 80.0, (2200, 3)) * np.array(shape)
    assert_same_bits(StructureBatch.from_arrays(np.full(2200, 6), positions), sites_of(2200), 2.0)


def test_sites_may_jump_between_structures_of_every_kind():
    parts = [
        StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, 2]]),
        filled(SKEWED * 2.0, 2500, (1, 1, 1), 5),
        filled(np.eye(3) * 3.0, 4, (1, 1, 1), 6),
        filled(SKEWED, 800, (1, 1, 0), 7),
    ]
    batch = StructureBatch.concatenate(parts)
    structure = np.array([1] * 13 + [0, 2, 3, 1, 0, 2] + [3] * 13)
    atom = np.arange(len(structure)) % np.diff(batch.offsets)[structure]
    assert_same_bits(batch, Sites(structure, atom))


def test_a_crowd_in_bins_is_refused_with_its_absorber():
    positions = np.zeros((30_000, 3))
    positions[:100] = np.arange(100)[:, None] + 50.0
    batch = StructureBatch.from_arrays(np.full(30_000, 26), positions)
    sites = Sites(np.zeros(20, np.int64), np.array([5] * 19 + [700]))
    for kernel in ("c", "numpy"):
        with pytest.raises(BadStructure, match=r"structure 0: more than 20000 atoms .* atom 700"):
            neighbours_of_sites(batch, sites, 6.0, kernel)


def test_no_sites_have_no_neighbours():
    batch = StructureBatch.from_arrays([26], [[0, 0, 0]])
    near = neighbours_of_sites(batch, first_atoms(batch[:0]), 6.0)
    assert (len(near), near.vectors.shape, near.numbers.shape) == (0, (0, 3), (0,))
