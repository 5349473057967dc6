"""What the table of peers claims about the work that is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from peers import dscribe_acsf

from edgestream.bench.structures import Sample
from xas.descriptor import Descriptor, DescriptorSpec
from xas.structure import Sites


@pytest.mark.parametrize("which", ["fe_complexes", "liquid"])
def test_dscribe_gives_the_same_numbers_where_all_weights_are_one(
    which: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("dscribe")
    sample: Sample = request.getfixturevalue(which)
    batch, chosen = sample.structures[:4], sample.sites.structure < 4
    sites = Sites(sample.sites.structure[chosen], sample.sites.atom[chosen])
    spec = DescriptorSpec.paper_2022()
    ours = Descriptor(replace(spec, weight="one")).featurise(batch, sites).values
    theirs = np.concatenate(dscribe_acsf(spec, batch, sites, alone=True)())
    assert np.abs(ours - theirs).max() < 1e-12 * np.abs(theirs).max()
