"""Checked once, written where it is wanted; and what happens without the kernel."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from drawn_structures import EVERYTHING, first_atoms

from xas import faults
from xas.descriptor import Descriptor
from xas.errors import BadStructure
from xas.faults import CheckedStructures
from xas.structure import Sites, StructureBatch

KERNELS = pytest.mark.parametrize("kernel", ["c", "numpy"])
GOOD = StructureBatch.from_arrays([26, 8, 1], [[0, 0, 0], [0, 0, 2], [1, 1, 0]])
BAD = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, np.nan]])
MIXED = StructureBatch.concatenate([GOOD, BAD, GOOD])
OF_GOOD = Sites(np.array([0, 2]), np.array([0, 0]))


@KERNELS
def test_good_structures_beside_bad_ones_need_no_second_check(kernel, monkeypatch):
    descriptor = Descriptor(EVERYTHING)
    alone = descriptor.featurise(GOOD, first_atoms(GOOD), kernel).values
    checked = CheckedStructures(MIXED, 6.0)
    monkeypatch.setattr(faults, "_faults", lambda *_: pytest.fail("checked again"))
    found = descriptor.featurise(checked, OF_GOOD, kernel).values
    np.testing.assert_array_equal(found, np.vstack([alone, alone]))


@KERNELS
def test_a_site_in_a_bad_structure_is_refused_whoever_checked_it(kernel):
    checked = CheckedStructures(MIXED, 6.0)
    assert list(checked.faults) == [1]
    with pytest.raises(BadStructure, match="structure 1: the position of atom 1 is not finite"):
        Descriptor(EVERYTHING).featurise(checked, first_atoms(MIXED), kernel)
    with pytest.raises(BadStructure, match="structure 0 has no atom 3"):
        Descriptor(EVERYTHING).featurise(checked, Sites(np.array([0]), np.array([3])), kernel)


@KERNELS
def test_a_check_for_a_shorter_cutoff_does_not_count(kernel):
    flat = StructureBatch.from_arrays([26] * 3, np.eye(3), None, [np.eye(3) * 0.4], [[True] * 3])
    checked = CheckedStructures(flat, 1.0)
    assert not checked.faults
    with pytest.raises(BadStructure, match="too full of atoms"):
        Descriptor(EVERYTHING).featurise(checked, first_atoms(flat), kernel)


@KERNELS
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_features_go_where_they_are_wanted(kernel, precision):
    descriptor = Descriptor(EVERYTHING)
    wanted = descriptor.featurise(GOOD, first_atoms(GOOD), kernel).values
    buffer = np.full((5, descriptor.n_features), np.nan, dtype=precision)
    found = descriptor.featurise(GOOD, first_atoms(GOOD), kernel, out=buffer)
    assert np.shares_memory(found.values, buffer)
    np.testing.assert_array_equal(buffer[:1], wanted.astype(precision))
    assert np.isnan(buffer[1:]).all()


@pytest.mark.parametrize(
    "buffer",
    [
        np.zeros((0, EVERYTHING.n_features)),
        np.zeros((1, EVERYTHING.n_features + 1)),
        np.zeros((1, EVERYTHING.n_features), dtype=np.float16),
        np.zeros((1, 2 * EVERYTHING.n_features))[:, ::2],
        np.zeros(EVERYTHING.n_features),
    ],
    ids=["too few rows", "other columns", "half precision", "strided", "flat"],
)
def test_a_buffer_that_does_not_fit_is_refused(buffer):
    with pytest.raises(ValueError, match="needed: C-contiguous float32 or float64 of 1 or more"):
        Descriptor(EVERYTHING).featurise(GOOD, first_atoms(GOOD), out=buffer)


WITHOUT_KERNEL = """
import sys
sys.modules["xas._wacsf"] = None
import numpy as np
from xas.descriptor import Descriptor, DescriptorSpec
from xas.structure import Sites, StructureBatch
batch = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, 2]])
descriptor = Descriptor(DescriptorSpec.paper_2022())
print(descriptor.kernel, file=sys.stderr)
for _ in range(2):
    values = descriptor.featurise(batch, Sites(np.array([0]), np.array([0]))).values
print(values.sum() > 0, file=sys.stderr)
"""


def test_without_the_kernel_it_computes_in_numpy_and_says_so_once_at_first_use():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERNEL], env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, notice, last = done.stderr.splitlines()
    assert (first, last) == ("numpy", "True")
    assert "without a C compiler" in notice
    assert "install gcc" in notice


def test_with_the_kernel_nothing_is_said(caplog):
    with caplog.at_level(logging.DEBUG):
        Descriptor(EVERYTHING).featurise(GOOD, first_atoms(GOOD))
    assert not caplog.records
