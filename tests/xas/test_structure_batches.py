"""Ragged batches keep every structure as it was."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from drawn_structures import molecules
from hypothesis import given, settings
from hypothesis import strategies as st

from xas.errors import BadStructure
from xas.structure import StructureBatch, sites_of_element


def assert_equal(found: StructureBatch, wanted: StructureBatch) -> None:
    for name in ("numbers", "positions", "offsets", "cells", "pbc"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@given(batch=molecules())
@settings(max_examples=30, deadline=None)
def test_a_batch_taken_apart_and_joined_is_the_same(batch):
    assert_equal(StructureBatch.concatenate(list(batch)), batch)


@given(batch=molecules(), cut=st.integers(-5, 5))
@settings(max_examples=30, deadline=None)
def test_two_slices_make_the_whole(batch, cut):
    parts = [batch[:cut], batch[cut:]]
    assert sum(map(len, parts)) == len(batch)
    assert_equal(StructureBatch.concatenate(parts), batch)


def test_a_slice_is_a_view_and_a_step_is_refused():
    batch = StructureBatch.from_arrays([26, 8, 8], np.zeros((3, 3)), [0, 1, 3])
    assert np.shares_memory(batch[1:].positions, batch.positions)
    assert len(batch[2:1]) == 0
    with pytest.raises(ValueError, match="contiguous"):
        batch[::2]


def test_atoms_of_ase_come_in_with_their_cells():
    molecule = Atoms("FeO", [[0, 0, 0], [0, 0, 1.6]])
    crystal = Atoms("Fe", cell=[3, 3, 3], pbc=[True, True, False])
    batch = StructureBatch.from_atoms([molecule, crystal])
    assert batch.numbers.tolist() == [26, 8, 26]
    assert batch.offsets.tolist() == [0, 2, 3]
    assert batch.pbc is not None
    assert batch.pbc.tolist() == [[False] * 3, [True, True, False]]
    assert_equal(StructureBatch.from_atoms(molecule), batch[:1].__class__.from_atoms([molecule]))


def test_molecules_alone_carry_no_cells():
    batch = StructureBatch.from_atoms([Atoms("Fe"), Atoms("FeH")])
    assert batch.cells is None
    assert batch.pbc is None
    assert len(StructureBatch.from_atoms([])) == 0


def test_positions_are_rounded_to_single_precision_once():
    batch = StructureBatch.from_arrays([26], [[0.1, 0.2, 0.3]])
    again = StructureBatch.from_arrays(batch.numbers, batch.positions)
    assert batch.positions.dtype == np.float32
    assert_equal(again, batch)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([26, 8], [[0, 0, 0]]), "2 atomic numbers but 1 positions"),
        (([300], [[0, 0, 0]]), "between 0 and 118"),
        (([26], [[0, 0, 0]], [0, 2]), "offsets"),
        (([26, 8], [[0, 0, 0]] * 2, [0, 2, 1, 2]), "offsets"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, words):
    with pytest.raises(BadStructure, match=words):
        StructureBatch.from_arrays(*arguments)


def test_the_sites_of_an_element_are_ordered_by_structure_then_atom():
    batch = StructureBatch.from_arrays([26, 8, 26, 8, 26], np.zeros((5, 3)), [0, 3, 3, 4, 5])
    sites = sites_of_element(batch, 26)
    assert sites.structure.tolist() == [0, 0, 3]
    assert sites.atom.tolist() == [0, 2, 0]
    assert len(sites_of_element(batch, 29)) == 0
