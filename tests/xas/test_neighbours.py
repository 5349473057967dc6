"""Neighbours of absorbers, periodic or not, and which structures are bad."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn_structures import EVERYTHING, crystals, every_atom, first_atoms
from hypothesis import given, settings

from xas.descriptor import Descriptor
from xas.errors import BadStructure
from xas.faults import check_structures
from xas.neighbours import neighbours_of_sites
from xas.structure import Sites, StructureBatch


def cell_of(batch: StructureBatch) -> tuple[np.ndarray, np.ndarray]:
    assert batch.cells is not None
    assert batch.pbc is not None
    return batch.cells[0], batch.pbc[0]


def explicit_cluster(batch: StructureBatch, atom: int, reach: float) -> StructureBatch:
    """The absorber first, then every atom and image that may lie within reach of it."""
    cell, pbc = cell_of(batch)
    around = batch.positions.astype(float) - batch.positions[atom].astype(float)
    most = np.ceil(reach * np.linalg.norm(np.linalg.inv(cell), axis=0)) + np.ceil(
        np.abs(around @ np.linalg.inv(cell)).max(axis=0)
    )
    cells = [range(-int(m), int(m) + 1) if p else range(1) for m, p in zip(most, pbc, strict=True)]
    shifts = np.array(list(itertools.product(*cells)), dtype=float)
    vectors = (around[:, None] + (shifts @ cell)[None]).reshape(-1, 3)
    numbers = np.repeat(batch.numbers, len(shifts))
    itself = (np.arange(batch.n_atoms) == atom).repeat(len(shifts)) & np.tile(
        (shifts == 0).all(axis=1), batch.n_atoms
    )
    near = (np.linalg.norm(vectors, axis=1) < reach) & ~itself
    return StructureBatch.from_arrays(
        np.concatenate([batch.numbers[atom : atom + 1], numbers[near]]),
        np.concatenate([np.zeros((1, 3)), vectors[near]]),
    )


@given(batch=crystals())
@settings(max_examples=40, deadline=None)
def test_a_crystal_is_the_cluster_of_its_images(batch):
    descriptor = Descriptor(EVERYTHING)
    atom = batch.n_atoms - 1
    sites = Sites(np.zeros(1, np.int64), np.array([atom]))
    cluster = explicit_cluster(batch, atom, 6.5)
    for kernel in ("c", "numpy"):
        periodic = descriptor.featurise(batch, sites, kernel)
        explicit = descriptor.featurise(cluster, first_atoms(cluster), kernel)
        np.testing.assert_allclose(
            periodic.values, explicit.values, rtol=1e-9, atol=1e-12 * explicit.values.max()
        )
        np.testing.assert_allclose(periodic.closest, explicit.closest)


def test_simple_iron_has_its_shells_from_a_cell_of_one_atom():
    half = 2.8665 / 2
    cell = np.array([[-half, half, half], [half, -half, half], [half, half, -half]])
    batch = StructureBatch.from_arrays([26], [[7.0, -3.0, 50.0]], None, [cell], [[True] * 3])
    near = neighbours_of_sites(batch, first_atoms(batch), 5.0)
    distance, count = np.unique(
        np.round(np.linalg.norm(near.vectors, axis=1), 6), return_counts=True
    )
    np.testing.assert_allclose(distance, 2.8665 * np.sqrt([0.75, 1, 2, 2.75, 3]), atol=1e-5)
    assert count.tolist() == [8, 6, 12, 24, 8]


@pytest.mark.parametrize(("pbc", "expected"), [((1, 0, 0), 2), ((1, 1, 0), 8), ((0, 0, 0), 0)])
def test_images_are_taken_along_periodic_axes_only(pbc, expected):
    batch = StructureBatch.from_arrays([26], [[0, 0, 0]], None, [np.eye(3) * 4.0], [pbc])
    assert len(neighbours_of_sites(batch, first_atoms(batch), 6.0).numbers) == expected


def test_axes_that_are_not_periodic_may_have_no_vector():
    cell = np.array([[4.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    batch = StructureBatch.from_arrays([26], [[0, 0, 0]], None, [cell], [[1, 0, 0]])
    assert check_structures(batch) == [""]
    for kernel in ("c", "numpy"):
        found = Descriptor(EVERYTHING).featurise(batch, first_atoms(batch), kernel)
        assert found.closest.tolist() == [4.0]


def test_molecules_and_crystals_go_together_in_one_batch():
    molecule = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, 2]])
    crystal = StructureBatch.from_arrays([26], [[0, 0, 0]], None, [np.eye(3) * 3], [[1, 1, 1]])
    mixed = StructureBatch.concatenate([molecule, crystal, molecule])
    descriptor = Descriptor(EVERYTHING)
    alone = [descriptor.featurise(b, first_atoms(b)).values[0] for b in (molecule, crystal)]
    found = descriptor.featurise(mixed, first_atoms(mixed)).values
    np.testing.assert_array_equal(found, [alone[0], alone[1], alone[0]])


def good() -> StructureBatch:
    return StructureBatch.from_arrays(
        [26, 8], [[0, 0, 0], [0, 0, 2]], None, [np.eye(3) * 9], [[1, 1, 1]]
    )


def bad(position=(0, 0, 2), cell=None) -> StructureBatch:
    cell = np.eye(3) * 9 if cell is None else cell
    return StructureBatch.from_arrays([26, 8], [[0, 0, 0], position], None, [cell], [[1, 1, 1]])


NO_ATOMS = StructureBatch.from_arrays([], np.zeros((0, 3)), [0, 0])
BAD = {
    "no atoms": (NO_ATOMS, "no atoms"),
    "nan": (bad(position=(0, np.nan, 0)), "atom 1 is not finite"),
    "infinite": (bad(position=(0, 0, -np.inf)), "atom 1 is not finite"),
    "overflow": (bad(position=(1e300, 0, 0)), "atom 1 is not finite"),
    "far out": (bad(position=(1e7, 0, 0)), "atom 1 lies more than 65536 angstrom"),
    "zero cell": (bad(cell=np.zeros((3, 3))), "periodic cell"),
    "plane": (bad(cell=np.array([[9.0, 0, 0], [0, 9, 0], [9, 9, 0]])), "periodic cell"),
    "flat": (bad(cell=np.diag([1e-4, 1.0, 1.0])), "periodic cell"),
    "crowded": (bad(cell=np.eye(3) * 0.2), "periodic cell"),
    "nan cell": (bad(cell=np.full((3, 3), np.nan)), "periodic cell"),
    "infinite cell": (bad(cell=np.full((3, 3), np.inf)), "periodic cell"),
}


@pytest.mark.parametrize(("structure", "words"), BAD.values(), ids=BAD)
def test_a_bad_structure_is_named_and_its_neighbours_are_not(structure, words):
    problems = check_structures(StructureBatch.concatenate([good(), structure, good()]))
    assert problems[0] == problems[2] == ""
    assert words in problems[1]


@pytest.mark.parametrize("kernel", ["c", "numpy"])
@pytest.mark.parametrize(("structure", "words"), BAD.values(), ids=BAD)
def test_features_of_a_bad_structure_are_refused(structure, words, kernel):
    batch = StructureBatch.concatenate([good(), structure])
    with pytest.raises(BadStructure, match=f"structure 1: .*{words}"):
        Descriptor(EVERYTHING).featurise(batch, first_atoms(batch[:1]), kernel)


def test_a_good_batch_has_nothing_to_say():
    assert check_structures(StructureBatch.concatenate([good()] * 3)) == [""] * 3
    assert check_structures(StructureBatch.concatenate([])) == []


def test_all_atoms_of_a_crystal_see_the_same_neighbours():
    batch = StructureBatch.from_arrays(
        [26, 26], [[0, 0, 0], [1.5, 1.5, 1.5]], None, [np.eye(3) * 3], [[1, 1, 1]]
    )
    values = Descriptor(EVERYTHING).featurise(batch, every_atom(batch)).values
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)
