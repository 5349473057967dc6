"""Features of the original programs, in each of their dialects."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xas.descriptor import DescriptorSpec
from xas.neighbours import Neighbours, join, vectors_within
from xas.wacsf import wacsf

pytestmark = pytest.mark.data

P1: dict[str, Any] = {}
P3: dict[str, Any] = {"r_min": 1.0, "n_g2": 16, "n_g4": 32, "zetas": (1.0,)}
NEWCASTLE: dict[str, Any] = {"weight": "0.1Z", "clip_third": False}
DIALECTS = {
    "newcastle_P1": DescriptorSpec.xanesnet(**P1, **NEWCASTLE),
    "newcastle_P3": DescriptorSpec.xanesnet(**P3, **NEWCASTLE),
    "redux_2021": DescriptorSpec.xanesnet(**P1, weight="Z", clip_third=False),
    "conexs_P1": DescriptorSpec.xanesnet(**P1, weight="0.1Z"),
    "conexs_P3": DescriptorSpec.xanesnet(**P3, weight="0.1Z"),
}
SUFFIXES = ["", "_moved"]


@pytest.fixture(scope="module")
def golden(data_dir: Path) -> dict[str, Any]:
    folder = data_dir / "golden_xanesnet"
    with np.load(folder / "features.npz") as found:
        golden = dict(found)
    with np.load(data_dir / "fe_k_xanesnet.npz") as found:
        offsets, numbers, positions = (found[k] for k in ("offsets", "numbers", "positions"))
    parts = [slice(offsets[i], offsets[i + 1]) for i in golden["index"]]
    golden["structures"] = [(numbers[p], positions[p]) for p in parts]
    ends = golden["moved_offsets"]
    moved = [slice(a, b) for a, b in itertools.pairwise(ends)]
    golden["structures_moved"] = [
        (golden["moved_numbers"][p], golden["moved_positions"][p]) for p in moved
    ]
    return golden


def neighbours(structures: list[Any], precision: type) -> Neighbours:
    """Of atom 0, from coordinates rounded as the program rounds them."""
    sites = []
    for numbers, positions in structures:
        vectors, owner = vectors_within(positions.astype(precision), 0, 6.0)
        sites.append((vectors, numbers[owner]))
    return join(sites)


@pytest.mark.parametrize("kernel", ["c", "numpy"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_features_are_those_of_the_program(golden, dialect, suffix, kernel):
    precision = np.float64 if dialect.startswith("redux") else np.float32
    near = neighbours(golden[f"structures{suffix}"], precision)
    values, _ = wacsf(DIALECTS[dialect], near, kernel)
    np.testing.assert_allclose(values, golden[f"{dialect}{suffix}_f64"], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if not name.startswith("redux")])
def test_features_in_single_precision_are_what_the_program_hands_to_its_network(golden, dialect):
    values, _ = wacsf(DIALECTS[dialect], neighbours(golden["structures"], np.float32))
    returned = golden[f"{dialect}_returned"]
    np.testing.assert_allclose(values.astype(np.float32), returned, rtol=1e-6, atol=1e-30)


def test_the_golden_numbers_tell_whether_the_third_distance_is_clipped(golden):
    near = neighbours(golden["structures"], np.float32)
    values, _ = wacsf(DIALECTS["conexs_P3"], near)
    assert np.abs(values - golden["newcastle_P3_f64"]).max() > 1e-2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_grids_are_those_of_the_program(golden, dialect):
    spec = DIALECTS[dialect]
    np.testing.assert_array_equal(spec.g2.mu, golden[f"{dialect}_g2_mu"])
    np.testing.assert_allclose(spec.g2.eta, golden[f"{dialect}_g2_eta"], rtol=1e-15)
    eta = np.repeat(spec.g4.eta, len(spec.g4) // len(spec.g4.eta))
    order = golden[f"order_{'P3' if dialect.endswith('P3') else 'P1'}_eta"]
    np.testing.assert_allclose(order[-len(eta) :], eta, rtol=1e-15)
