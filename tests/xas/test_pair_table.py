"""The table of what two neighbours share, against the function itself."""

from __future__ import annotations

import numpy as np
import pytest

from xas.descriptor import DescriptorSpec
from xas.pair_table import RELATIVE_ERROR, TERMS, pair_table
from xas.wacsf import cutoff_function

PAPER = DescriptorSpec.paper_2022().g4.eta


@pytest.mark.parametrize("cutoff", [0.5, 5.0, 6.0, 40.0])
@pytest.mark.parametrize("n_cutoffs", [1, 4])
@pytest.mark.parametrize("eta", [PAPER, (0.0,), (0.02, 0.3)], ids=["paper", "zero", "two"])
def test_the_table_gives_the_function_also_where_it_vanishes(eta, cutoff, n_cutoffs):
    eta = tuple(np.array(eta) * 36.0 / cutoff**2)
    table = pair_table(eta, cutoff, n_cutoffs)
    assert table is not None
    n = (len(table) - 1) // n_cutoffs
    s = np.concatenate(
        [np.linspace(0.0, 1.0, 1001), 1.0 - np.logspace(-12, -3, 30), np.linspace(1, n_cutoffs, 99)]
    )
    v = n * (1.0 - s)
    interval = np.rint(v).astype(np.int64)
    powers = (v - interval)[:, None] ** np.arange(TERMS)
    found = np.einsum("pt,pte->pe", powers, table[interval + (n_cutoffs - 1) * n])
    squared = s * cutoff**2
    wanted = np.exp(-np.array(eta) * squared[:, None]) * cutoff_function(squared, cutoff)[:, None]
    near = 1e-15 / np.maximum(np.abs(1.0 - s), 1e-15)  # what 1 - s itself is worth
    error = np.abs(found * v[:, None] ** 2 - wanted)
    assert (error <= (1.1 * RELATIVE_ERROR + 4.0 * near)[:, None] * wanted).all()


def test_etas_that_are_too_large_have_no_table():
    assert pair_table((0.1, 50.0), 6.0, 1) is None
