"""What the kernel is told: classes, rectangles, and which grids follow by multiplication."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_structures import EVERYTHING, first_atoms
from test_wacsf_kernels import compare

from xas.descriptor import AngularChannels, AngularGrid, DescriptorSpec, RadialGrid
from xas.structure import StructureBatch
from xas.wacsf_blocks import blocks_of
from xas.wacsf_plan import can_be_multiplied, covers_all, element_classes, plan_of, rectangles

H, C, N, O = (1,), (6,), (7,), (8,)  # noqa: E741
OVERLAPPING = DescriptorSpec(
    angular_channels=(
        AngularChannels(
            pairs=((H, C), ((1, 6), (7, 8)), ((1, 8), (1, 8))), grid=AngularGrid(eta=(0.1,))
        ),
        AngularChannels(
            pairs=((C, (1, 7)), (O, O), (N, (6, 26))), grid=AngularGrid(eta=(2.0, 9.0))
        ),
    ),
)


def molecule(seed: int) -> StructureBatch:
    rng = np.random.default_rng(seed)
    return StructureBatch.from_arrays(
        rng.choice([1, 6, 7, 8, 26, 79], 60), rng.uniform(-4.0, 4.0, (60, 3))
    )


def test_elements_of_the_same_sides_are_one_class():
    classes = element_classes(blocks_of(EVERYTHING).angular)
    assert classes[6] == classes[7]
    assert len({classes[n] for n in (1, 6, 8, 26)}) == 4
    assert classes[26] == classes[79] == classes[0]


def test_the_rectangles_of_a_block_hold_each_of_its_pairs_once():
    for spec in (EVERYTHING, OVERLAPPING):
        blocks = blocks_of(spec).angular
        classes = element_classes(blocks)
        n = classes.max() + 1
        for block in blocks:
            count = np.zeros((n, n), dtype=int)
            for first, second in rectangles(block, classes):
                count[slice(*first), slice(*second)] += 1
                if first != second:
                    count[slice(*second), slice(*first)] += 1
            wanted = block.first[:, None] & block.second | block.second[:, None] & block.first
            np.testing.assert_array_equal(count[classes[:, None], classes[None, :]], wanted)


def test_channels_that_overlap_agree_with_the_reference():
    batch = molecule(1)
    compare(OVERLAPPING, batch, first_atoms(batch))


def test_all_pairs_of_all_classes_are_covered_or_not():
    assert covers_all([((0, 2), (0, 2)), ((0, 2), (2, 3)), ((2, 3), (2, 3))], 3)
    assert not covers_all([((0, 2), (0, 2)), ((2, 3), (2, 3))], 3)


EVEN = RadialGrid.shifted(0.5, 5.5, 32)
GRIDS = {
    "paper": (EVEN, True),
    "falling": (RadialGrid(mu=EVEN.mu[::-1], eta=EVEN.eta), True),
    "broad": (RadialGrid(mu=EVEN.mu, eta=(0.01,) * 32), True),
    "narrow": (RadialGrid(mu=EVEN.mu, eta=(40.0,) * 32), False),
    "uneven": (RadialGrid(mu=(*EVEN.mu[:-1], 5.6), eta=EVEN.eta), False),
    "two etas": (RadialGrid(mu=EVEN.mu, eta=(*EVEN.eta[:-1], 5.0)), False),
    "short": (RadialGrid.shifted(0.5, 5.5, 4), False),
    "far": (RadialGrid(mu=tuple(x + 20.0 for x in EVEN.mu), eta=EVEN.eta), False),
    "equal": (RadialGrid(mu=(2.0,) * 20, eta=(1.0,) * 20), True),
}


@pytest.mark.parametrize(("grid", "expected"), GRIDS.values(), ids=GRIDS)
def test_gaussians_made_by_multiplication_agree_with_the_reference(grid, expected):
    assert can_be_multiplied(grid, 4, 6.0) is expected
    batch = molecule(2)
    compare(DescriptorSpec(g2=grid, weight="Z"), batch, first_atoms(batch))


def test_a_plan_is_packed_for_the_width_of_the_vectors():
    blocks = blocks_of(EVERYTHING)
    assert plan_of(blocks, 2) is plan_of(blocks, 2)
    for lanes in (2, 4, 8):
        assert plan_of(blocks, lanes).floats.ctypes.data % 64 == 0
