"""What the physics says of features: symmetric, smooth at the cutoff, sums of their parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from drawn_structures import EVERYTHING, first_atoms
from numpy.typing import NDArray

from xas.descriptor import (
    AngularChannels,
    AngularGrid,
    Descriptor,
    DescriptorSpec,
    RadialChannels,
    RadialGrid,
)
from xas.neighbours import join, vectors_within
from xas.structure import StructureBatch
from xas.wacsf import wacsf

KERNELS = pytest.mark.parametrize("kernel", ["c", "numpy"])


def cluster(seed: int = 1, size: int = 30) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    numbers = rng.choice(np.array([1, 6, 7, 8], dtype=np.uint8), size)
    numbers[0] = 26
    positions = rng.uniform(-4.0, 4.0, (size, 3))
    positions[0] = 0.0
    return numbers, positions


def features(
    spec: DescriptorSpec, numbers: NDArray[np.uint8], positions: NDArray[np.float64], kernel
) -> NDArray[np.float64]:
    """In double precision all the way."""
    vectors, owner = vectors_within(positions, 0, spec.cutoff_angstrom)
    return wacsf(spec, join([(vectors, numbers[owner])]), kernel)[0][0]


@KERNELS
def test_a_rotation_or_reflection_changes_nothing(kernel):
    numbers, positions = cluster()
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    before = features(EVERYTHING, numbers, positions, kernel)
    after = features(EVERYTHING, numbers, positions @ turn, kernel)
    np.testing.assert_allclose(after, before, rtol=1e-11, atol=1e-13)


@KERNELS
def test_a_translation_changes_nothing(kernel):
    numbers, positions = cluster()
    before = features(EVERYTHING, numbers, positions, kernel)
    after = features(EVERYTHING, numbers, positions + np.array([11.0, -8.0, 23.0]), kernel)
    np.testing.assert_allclose(after, before, rtol=1e-11, atol=1e-12)


@KERNELS
def test_the_order_of_the_neighbours_changes_nothing(kernel):
    numbers, positions = cluster()
    order = np.concatenate([[0], 1 + np.random.default_rng(3).permutation(len(numbers) - 1)])
    before = features(EVERYTHING, numbers, positions, kernel)
    after = features(EVERYTHING, numbers[order], positions[order], kernel)
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-13)


@KERNELS
@pytest.mark.parametrize("clip", [True, False])
def test_features_change_smoothly_when_an_atom_crosses_the_cutoff(kernel, clip):
    spec = dataclasses.replace(EVERYTHING, clip_third=clip)
    numbers, positions = cluster()
    direction = np.array([2.0, -1.0, 2.0]) / 3.0
    positions[5] = direction * (6.0 - 1e-5)
    inside = features(spec, numbers, positions, kernel)
    positions[5] = direction * (6.0 + 1e-5)
    np.testing.assert_allclose(features(spec, numbers, positions, kernel), inside, atol=1e-8)


@KERNELS
def test_features_change_smoothly_when_two_neighbours_part_beyond_the_cutoff(kernel):
    numbers = np.array([26, 8, 8], dtype=np.uint8)
    found = [
        features(EVERYTHING, numbers, np.array([[0, 0, 0], [-3.0, 0, 0], [x, 0, 0]]), kernel)
        for x in (3.0 - 1e-5, 3.0 + 1e-5)
    ]
    scale = np.abs(found[0]).max()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-9 * scale)


@KERNELS
def test_two_neighbours_at_a_right_angle_give_the_sums_done_by_hand(kernel):
    spec = DescriptorSpec(
        cutoff_angstrom=2.0,
        g2=RadialGrid(mu=(0.0, 1.0), eta=(0.5, 3.0)),
        g4=AngularGrid(eta=(0.0, 0.25), lambdas=(1.0, -1.0), zeta=(1.0, 2.0)),
    )
    numbers = np.array([26, 6, 8], dtype=np.uint8)
    positions = np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    fade = 0.5 * (np.cos(np.pi * np.sqrt(2.0) / 2.0) + 1.0)
    expected = 48.0 * 0.5 * 0.5 * fade * np.array([1.0, np.exp(-1.0)])
    values = features(spec, numbers, positions, kernel)
    np.testing.assert_allclose(values[:3], [1.0, 7.0 * np.exp(-0.5), 7.0], rtol=1e-14)
    np.testing.assert_allclose(values[3:].reshape(2, 2, 2)[:, :, 0], expected[:, None] * [1, 1])
    np.testing.assert_allclose(values[3:].reshape(2, 2, 2)[:, :, 1], expected[:, None] * [0.5, 0.5])


@KERNELS
def test_the_element_channels_add_up_to_the_sum_over_all_elements(kernel):
    radial, angular = RadialGrid.shifted(0.5, 5.5, 8), AngularGrid(eta=(0.1, 0.01), zeta=(1.0, 4.0))
    groups = ((1,), (6, 7), (8,))
    pairs = tuple((a, b) for i, a in enumerate(groups) for b in groups[i:])
    spec = DescriptorSpec(
        weight="one",
        g2=radial,
        g4=angular,
        radial_channels=(RadialChannels(groups=groups, grid=radial),),
        angular_channels=(AngularChannels(pairs=pairs, grid=angular),),
    )
    values = features(spec, *cluster(), kernel)
    g1, g2, g4 = 1, len(radial), len(angular)
    channels = values[g1 + g2 + g4 :]
    parts = channels[: 3 * g2].reshape(3, g2), channels[3 * g2 :].reshape(6, g4)
    np.testing.assert_allclose(parts[0].sum(axis=0), values[g1 : g1 + g2], rtol=1e-12)
    np.testing.assert_allclose(parts[1].sum(axis=0), values[g1 + g2 : g1 + g2 + g4], rtol=1e-12)


@KERNELS
def test_pairs_counted_twice_double_the_angular_features_only(kernel):
    once = dataclasses.replace(EVERYTHING, pairs="once")
    numbers, positions = cluster()
    ratio = features(EVERYTHING, numbers, positions, kernel) / features(
        once, numbers, positions, kernel
    )
    for name, columns in Descriptor(once).groups.items():
        np.testing.assert_allclose(ratio[columns], 2.0 if name.startswith("G4") else 1.0)


@KERNELS
def test_weights_scale_as_the_programs_differ(kernel):
    """0.1 Z against Z: G1 x 1, G2 x 10, G4 x 100."""
    numbers, positions = cluster()
    tenth = features(DescriptorSpec.xanesnet(weight="0.1Z"), numbers, positions, kernel)
    whole = features(DescriptorSpec.xanesnet(weight="Z"), numbers, positions, kernel)
    factor = np.repeat([1.0, 10.0, 100.0], [1, 32, 64])
    np.testing.assert_allclose(whole, factor * tenth, rtol=1e-12)


def test_the_closest_distance_is_that_of_the_closest_pair_within_the_cutoff():
    positions = [[0, 0, 0], [3, 0, 0], [3, 0.25, 0], [0, 9, 0], [0, 9.125, 0]]
    batch = StructureBatch.from_arrays([26, 6, 6, 6, 6], positions)
    for spec in (EVERYTHING, DescriptorSpec(g1=True), DescriptorSpec.paper_2022()):
        for kernel in ("c", "numpy"):
            found = Descriptor(spec).featurise(batch, first_atoms(batch), kernel)
            assert found.closest.tolist() == [0.25]
