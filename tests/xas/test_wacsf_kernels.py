"""The C kernel computes what the numpy reference computes, whatever the structure."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from drawn_structures import EVERYTHING, crystals, every_atom, first_atoms, molecules
from hypothesis import given, settings
from numpy.typing import NDArray

from xas import wacsf_kernel
from xas.descriptor import Descriptor, DescriptorSpec
from xas.errors import BadStructure
from xas.faults import CheckedStructures
from xas.kernel import instruction_sets
from xas.neighbours import neighbours_of_sites
from xas.structure import Sites, StructureBatch
from xas.wacsf import kernel_name, wacsf
from xas.wacsf_blocks import blocks_of

SPECS = [
    DescriptorSpec.paper_2022(),
    EVERYTHING,
    dataclasses.replace(EVERYTHING, clip_third=False, pairs="once", weight="one", g1=False),
]


def assert_same(spec: DescriptorSpec, found: NDArray[np.float64], wanted: NDArray[np.float64]):
    """Each feature within 1e-10 of the largest of its group, in every site."""
    assert np.isfinite(found).all()
    for name, columns in Descriptor(spec).groups.items():
        largest = np.abs(wanted[:, columns]).max(axis=1, initial=0.0)
        difference = np.abs(found[:, columns] - wanted[:, columns]).max(axis=1, initial=0.0)
        assert (difference <= 1e-10 * largest + 1e-250).all(), name


def featurise(
    spec: DescriptorSpec, batch: StructureBatch, sites: Sites, instruction_set: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.full((len(sites), spec.n_features), np.nan)
    structures = CheckedStructures(batch, spec.cutoff_angstrom)
    closest = wacsf_kernel.featurise(blocks_of(spec), structures, sites, values, instruction_set)
    return values, closest


def compare(spec: DescriptorSpec, batch: StructureBatch, sites: Sites) -> None:
    wanted = Descriptor(spec).featurise(batch, sites, "numpy")
    near = neighbours_of_sites(batch, sites, spec.cutoff_angstrom)
    for instruction_set in instruction_sets():
        for found, closest in (
            featurise(spec, batch, sites, instruction_set),
            wacsf_kernel.from_neighbours(blocks_of(spec), near, instruction_set),
        ):
            assert_same(spec, found, wanted.values)
            np.testing.assert_array_equal(closest, wanted.closest)


def test_this_installation_has_the_c_kernel():
    assert list(instruction_sets())[-1] == "generic"
    assert kernel_name().startswith("c (")
    assert kernel_name("numpy") == "numpy"


@pytest.mark.parametrize("spec", SPECS, ids=["paper", "everything", "unclipped"])
@given(batch=molecules())
@settings(max_examples=60, deadline=None)
def test_both_kernels_agree_on_molecules(spec: DescriptorSpec, batch: StructureBatch):
    compare(spec, batch, first_atoms(batch))


@pytest.mark.parametrize("spec", SPECS[1:], ids=["everything", "unclipped"])
@given(batch=crystals())
@settings(max_examples=30, deadline=None)
def test_both_kernels_agree_on_crystals(spec: DescriptorSpec, batch: StructureBatch):
    compare(spec, batch, every_atom(batch))


def test_both_kernels_agree_on_hundreds_of_neighbours():
    rng = np.random.default_rng(5)
    batch = StructureBatch.from_arrays(
        rng.choice([1, 6, 8, 26], 700), rng.uniform(-4.0, 4.0, (700, 3))
    )
    compare(EVERYTHING, batch, Sites(np.zeros(2, np.int64), np.array([3, 699])))


def test_every_atom_may_be_an_absorber_in_any_order():
    rng = np.random.default_rng(6)
    batch = StructureBatch.from_arrays([26] * 9, rng.uniform(-3.0, 3.0, (9, 3)), [0, 4, 9])
    descriptor = Descriptor(DescriptorSpec.paper_2022())
    sites = every_atom(batch)
    order = rng.permutation(len(sites))
    whole = descriptor.featurise(batch, sites).values
    mixed = descriptor.featurise(batch, Sites(sites.structure[order], sites.atom[order]))
    np.testing.assert_array_equal(mixed.values, whole[order])


@pytest.mark.parametrize("kernel", ["c", "numpy"])
def test_an_absorber_without_neighbours_has_zeros(kernel):
    batch = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [6.0, 0, 0]])
    features = Descriptor(EVERYTHING).featurise(batch, first_atoms(batch), kernel)
    assert not features.values.any()
    assert features.closest.tolist() == [np.inf]


@pytest.mark.parametrize("kernel", ["c", "numpy"])
def test_coincident_atoms_give_finite_features_and_a_closest_distance_of_zero(kernel):
    apart, on_absorber, on_each_other = [0, 0, 2], [0, 0, 0], [0, 2, 0]
    batch = StructureBatch.from_arrays(
        [26, 6, 8, 26, 6, 8],
        [[0, 0, 0], apart, on_absorber, [0, 0, 0], on_each_other, on_each_other],
        [0, 3, 6],
    )
    features = Descriptor(EVERYTHING).featurise(batch, first_atoms(batch), kernel)
    assert np.isfinite(features.values).all()
    assert features.closest.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kernel", ["c", "numpy"])
def test_no_sites_give_no_rows(kernel):
    batch = StructureBatch.from_arrays([26], [[0, 0, 0]])
    nothing = Sites(np.zeros(0, np.int64), np.zeros(0, np.int64))
    features = Descriptor(EVERYTHING).featurise(batch, nothing, kernel)
    assert features.values.shape == (0, EVERYTHING.n_features)


@pytest.mark.parametrize("kernel", ["c", "numpy"])
@pytest.mark.parametrize(("structure", "atom"), [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_a_site_that_does_not_exist_is_refused(kernel, structure, atom):
    batch = StructureBatch.from_arrays([26], [[0, 0, 0]])
    sites = Sites(np.array([structure]), np.array([atom]))
    with pytest.raises(BadStructure, match="has no atom"):
        Descriptor(EVERYTHING).featurise(batch, sites, kernel)


@pytest.mark.parametrize("kernel", ["c", "numpy"])
def test_an_impossible_crowd_is_refused_with_its_absorber(kernel):
    positions = np.zeros((20_003, 3))
    batch = StructureBatch.from_arrays(np.full(20_003, 26), positions, [0, 1, 20_003])
    with pytest.raises(BadStructure, match=r"structure 1: more than 20000 atoms .* atom 0"):
        Descriptor(EVERYTHING).featurise(batch, first_atoms(batch), kernel)


def test_arrays_that_do_not_fit_are_refused_before_they_are_read():
    batch = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, 2]])
    broken = dataclasses.replace(batch, offsets=np.array([0, 5]))
    with pytest.raises(ValueError, match="offsets"):
        featurise(EVERYTHING, broken, first_atoms(batch))
    with pytest.raises(ValueError, match="cannot run 'abacus'"):
        featurise(EVERYTHING, batch, first_atoms(batch), "abacus")


def test_given_neighbours_beyond_the_cutoff_do_not_count():
    batch = StructureBatch.from_arrays([26, 8, 7], [[0, 0, 0], [0, 0, 2], [3, 0, 0]])
    near = neighbours_of_sites(batch, first_atoms(batch), 50.0)
    far = dataclasses.replace(near, vectors=near.vectors * 10.0)
    for kernel in ("c", "numpy"):
        values, closest = wacsf(EVERYTHING, far, kernel)
        assert not values.any()
        assert closest.tolist() == [np.inf]
