"""The built-in model for materials, on crystals made here."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal

import edgestream as es
from trainer.check_input import check_structures


def cuprite() -> object:
    sites = [(0.0, 0.0, 0.0), (0.25, 0.25, 0.25)]
    return crystal(["O", "Cu"], sites, spacegroup=224, cellpar=[4.27] * 3 + [90.0] * 3)


def test_all_copper_atoms_of_cuprite_have_one_spectrum() -> None:
    found = es.predict(cuprite(), model="cu-k")
    assert found.intensity.shape == (4, 271)
    assert np.ptp(found.intensity, axis=0).max() < 1e-3
    assert 8990.0 < found.energy[found.intensity[0].argmax()] < 9020.0


def test_a_crystal_and_its_supercell_are_the_same_material() -> None:
    metal = bulk("Cu", "fcc", 3.61)
    one, eight = (es.predict(atoms, model="cu-k") for atoms in (metal, metal * (2, 2, 2)))
    np.testing.assert_allclose(eight.intensity, np.tile(one.intensity, (8, 1)), atol=1e-3)


def test_common_crystals_are_not_novel_and_molecules_are() -> None:
    crystals = es.predict([cuprite(), bulk("Cu", "fcc", 3.61)], model="cu-k")
    molecules = es.predict(check_structures("Cu")[0], model="cu-k")
    assert crystals.novelty.max() < 1.0 < molecules.novelty.min()


def test_an_iron_complex_has_no_copper_spectrum() -> None:
    with pytest.raises(es.EdgestreamError, match="Cu"):
        es.predict(bulk("Fe", "bcc", 2.87), model="cu-k")
