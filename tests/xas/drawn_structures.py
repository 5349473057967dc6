"""Structures for hypothesis, with a taste for the awkward: collinear, equidistant, coincident."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from xas.descriptor import (
    AngularChannels,
    AngularGrid,
    DescriptorSpec,
    RadialChannels,
    RadialGrid,
)
from xas.structure import Sites, StructureBatch

ELEMENTS = st.sampled_from([1, 6, 7, 8, 17, 26, 79])
WHOLE = st.integers(-6, 6).map(float)
FINE = st.floats(-7.0, 7.0, width=32)
POINTS = st.tuples(*[WHOLE | FINE] * 3)
AT_THE_CUTOFF = st.sampled_from([(6.0, 0.0, 0.0), (0.0, -6.0, 0.0), (4.0, 4.0, 2.0)])


@st.composite
def molecules(draw: st.DrawFn) -> StructureBatch:
    """One to four molecules; the first atom of each lies at the origin."""
    sizes = draw(st.lists(st.integers(0, 14), min_size=1, max_size=4))
    positions, numbers = [], []
    for size in sizes:
        others = draw(st.lists(POINTS | AT_THE_CUTOFF, min_size=size, max_size=size))
        positions += [(0.0, 0.0, 0.0), *others]
        numbers += draw(st.lists(ELEMENTS, min_size=size + 1, max_size=size + 1))
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes) + 1)])
    return StructureBatch.from_arrays(numbers, np.array(positions), offsets)


@st.composite
def crystals(draw: st.DrawFn) -> StructureBatch:
    """One triclinic cell, often smaller than the cutoff, with atoms in and far out of it."""
    sides = draw(st.tuples(*[st.integers(10, 40)] * 3))
    shear = draw(st.tuples(*[st.integers(-12, 12)] * 3))
    cell = np.diag(sides).astype(float)
    cell[1, 0], cell[2, 0], cell[2, 1] = shear
    size = draw(st.integers(1, 4))
    coordinate = st.integers(-60, 60)
    where = draw(st.lists(st.tuples(*[coordinate] * 3), min_size=size, max_size=size))
    numbers = draw(st.lists(ELEMENTS, min_size=size, max_size=size))
    periodic = draw(st.tuples(*[st.booleans()] * 3))
    # quarters of an angstrom: exact in float32, so that an explicit cluster has the same distances
    return StructureBatch.from_arrays(
        numbers, np.array(where) / 4.0, None, cell[None] / 4.0, np.array([periodic])
    )


def every_atom(batch: StructureBatch) -> Sites:
    """Each atom of each structure as an absorber."""
    structure = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
    return Sites(structure, np.arange(batch.n_atoms) - batch.offsets[structure])


def first_atoms(batch: StructureBatch) -> Sites:
    """Atom 0 of each structure."""
    return Sites(np.arange(len(batch)), np.zeros(len(batch), dtype=np.int64))


EVERYTHING = DescriptorSpec(
    cutoff_angstrom=6.0,
    weight="0.1Z",
    pairs="twice",
    g2=RadialGrid.shifted(0.5, 5.5, 11),
    g4=AngularGrid(
        eta=(0.0, 0.5, 0.3, 0.22, 2.5, 0.04, 0.01, 0.1, 0.2),
        lambdas=(1.0, -1.0, 0.3),
        zeta=(1.0, 3.0, 6.0, 2.5, 16.0),
    ),
    radial_channels=(
        RadialChannels(groups=((1,), (6, 7), (8,)), grid=RadialGrid.shifted(1.0, 5.0, 9)),
        RadialChannels(groups=((1, 6, 7, 8, 17, 26, 79),), grid=RadialGrid(mu=(0.0,), eta=(4.0,))),
    ),
    angular_channels=(
        AngularChannels(
            pairs=(((1,), (1,)), ((1,), (6, 7)), ((6, 7), (8,))),
            grid=AngularGrid(eta=(0.3, 0.05), lambdas=(-1.0, 1.0), zeta=(4.0, 1.0)),
        ),
    ),
)
"""Every part of a spec at once, with awkward numbers of etas, lambdas and zetas."""
