"""Blocks of rows are cut and joined without a change."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rows import assert_same_rows, make_rows

from stream.result_file.rows import Rows


@given(first=st.integers(0, 1000), cuts=st.lists(st.integers(0, 12), max_size=4))
def test_parts_joined_again_are_the_whole(first: int, cuts: list[int]) -> None:
    whole = make_rows(first, 12, dead=(first + 3, first + 11))
    edges = [0, *sorted(cuts), 12]
    parts = [whole[a:b] for a, b in pairwise(edges)]
    assert_same_rows(Rows.concatenate(parts), whole)


def test_a_part_has_the_sites_and_reasons_of_its_frames() -> None:
    part = make_rows(100, 10, dead=(104, 108))[3:6]
    assert_same_rows(part, make_rows(103, 3, dead=(104,)))


def test_rows_that_do_not_follow_each_other_are_not_joined() -> None:
    with pytest.raises(ValueError, match="do not follow"):
        Rows.concatenate([make_rows(0, 4), make_rows(5, 4)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"novelty": np.zeros(3, np.float32)}, "novelty"),
        ({"errors": np.zeros((4, 6), np.float32)}, "n_energy"),
        ({"site_frame": np.full(6, 99)}, "outside"),
        ({"site_frame": np.arange(6)[::-1]}, "ordered"),
        ({"site_atom": np.zeros(2, np.int32)}, "atoms"),
        ({"reasons": ((4, "no"),)}, "reason"),
        ({"structures": make_rows(0, 3).structures}, "structures"),
    ],
)
def test_rows_whose_lengths_disagree_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(make_rows(0, 4), **change)
