"""A spec says everything, survives JSON and refuses what it does not know."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from drawn_structures import EVERYTHING

from xas.descriptor import (
    AngularChannels,
    AngularGrid,
    Descriptor,
    DescriptorSpec,
    RadialChannels,
    RadialGrid,
)
from xas.errors import BadModel

PAPER = DescriptorSpec.paper_2022()


def test_the_paper_has_97_features_in_three_groups():
    descriptor = Descriptor(PAPER)
    assert descriptor.n_features == len(descriptor.names) == 97
    assert descriptor.groups == {"G1": slice(0, 1), "G2": slice(1, 33), "G4": slice(33, 97)}


def test_names_and_groups_cover_every_column_once():
    descriptor = Descriptor(EVERYTHING)
    columns = [range(descriptor.n_features)[part] for part in descriptor.groups.values()]
    assert list(itertools.chain(*columns)) == list(range(descriptor.n_features))
    assert len(set(descriptor.names)) == descriptor.n_features
    assert list(descriptor.groups)[3:5] == ["G2 H", "G2 C+N"]
    assert list(descriptor.groups)[-1] == "G4 C+N O"


def test_two_sets_of_channels_of_one_element_keep_both_groups():
    channels = (RadialChannels(groups=((8,),), grid=RadialGrid.shifted(1, 5, 3)),) * 2
    assert list(Descriptor(DescriptorSpec(radial_channels=channels)).groups) == [
        "G1",
        "G2 O",
        "G2 O #2",
    ]


@pytest.mark.parametrize("spec", [PAPER, EVERYTHING, DescriptorSpec()])
def test_a_spec_survives_json_bit_for_bit(spec):
    again = DescriptorSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


def changed(**changes):
    return {**PAPER.to_dict(), **changes}


def without(key):
    return {k: v for k, v in PAPER.to_dict().items() if k != key}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(version=2), "version 2 is newer .* update edgestream"),
        (changed(version=0), "version 0 is not known"),
        (changed(version=True), "version True is not known"),
        (changed(name="soap"), "'soap' is unknown"),
        (changed(colour="red"), "unknown keys: colour"),
        (without("g2"), "lacks g2"),
        (changed(g2={"mu": [1.0], "eta": []}), "1 values of mu but 0 of eta"),
        (changed(g2={"mu": [1.0], "eta": ["x"]}), "a number was expected"),
        (changed(g2={"mu": [1.0], "eta": [float("nan")]}), "eta = nan"),
        (changed(g2={"mu": [1.0], "eta": [-1.0]}), "eta = -1.0 does not lie"),
        (changed(g4={"eta": [1.0], "lambda": [2.0], "zeta": [1.0]}), "lambda = 2.0"),
        (changed(g4={"eta": [1.0], "lambda": [1.0], "zeta": [0.0]}), "zeta = 0.0"),
        (changed(g4={"eta": 3, "lambda": [1.0], "zeta": [1.0]}), "a list was expected"),
        (changed(cutoff_angstrom=0.0), "cutoff_angstrom = 0.0"),
        (changed(cutoff_angstrom="6"), "a number was expected"),
        (changed(weight="2Z"), "weight '2Z'"),
        (changed(pairs="thrice"), "pairs 'thrice'"),
        (changed(clip_third=1), "must be true or false"),
        (changed(radial_channels=[{"groups": [[1]]}]), "lacks grid"),
        (
            changed(radial_channels=[{"groups": [[1], [1, 6]], "grid": {"mu": [], "eta": []}}]),
            "belongs to two groups",
        ),
        (
            changed(radial_channels=[{"groups": [[200]], "grid": {"mu": [], "eta": []}}]),
            "200 in an element group",
        ),
        ([], "no object"),
        (None, "no object"),
    ],
)
def test_what_is_no_spec_is_refused_in_one_line(data, words):
    with pytest.raises(BadModel, match=words) as caught:
        DescriptorSpec.from_dict(data)
    assert str(caught.value).startswith("descriptor: ")
    assert "\n" not in str(caught.value)


def test_groups_that_overlap_in_part_are_refused_as_a_pair():
    with pytest.raises(BadModel, match="overlap in part"):
        AngularChannels(pairs=(((1, 6), (6, 7)),), grid=AngularGrid())


def test_a_spec_without_features_or_with_too_many_is_refused():
    with pytest.raises(BadModel, match="0 features"):
        DescriptorSpec(g1=False)
    many = AngularGrid(eta=tuple(np.linspace(0, 1, 60_000)))
    with pytest.raises(BadModel, match="120001 features"):
        DescriptorSpec(g4=many)
