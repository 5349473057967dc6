"""The structures that the demo and the documentation are made from."""

from __future__ import annotations

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from edgestream.demo.make_trajectory import butadiene_iron_tricarbonyl, frame_text
from edgestream.demo.match_table import crystals


def test_the_complex_is_built_without_clashes():
    atoms = butadiene_iron_tricarbonyl()
    distances = atoms.get_all_distances() + 9.0 * np.eye(len(atoms))
    assert distances.min() > 1.0
    assert atoms.get_chemical_formula() == "C7H6FeO3"
    assert frame_text(4.0, atoms).startswith("17\nProperties=species:S:1:pos:R:3 time_fs=4.0")


@pytest.mark.parametrize(
    ("name", "neighbours", "shortest"),
    [
        ("Fe2O3_rt_01", {6}, 1.95),
        ("Fe3O4_rt_01", {4, 6}, 1.89),
        ("FeO_rt_01", {6}, 2.15),
        ("Fe_metal_rt_01", {8}, 2.48),
        ("Hansel2001_siderite_xanes_001", {6}, 2.14),
    ],
)
def test_iron_has_its_neighbours_in_each_crystal(name, neighbours, shortest):
    atoms = crystals()[name]
    first, distance = neighbor_list("id", atoms, 2.6)
    iron = np.flatnonzero(atoms.numbers == 26)
    assert {int((first == i).sum()) for i in iron} == neighbours
    assert distance[np.isin(first, iron)].min() == pytest.approx(shortest, abs=0.01)
