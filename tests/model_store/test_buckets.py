"""Bound memory and few batch sizes, on the CPU provider: the code that a GPU runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from model_store.buckets import SIZES, Buckets
from model_store.runtime import CPU, INPUT, Session, values_on
from model_store.store import Store

BUNDLE = Store([]).get("fe-k-fast")
N_ENERGY = len(BUNDLE.manifest.output.energy_ev)
WIDTHS: dict[str, tuple[int, ...]] = {"mean": (N_ENERGY,), "std": (N_ENERGY,), "novelty": ()}


@pytest.fixture
def buckets() -> Buckets:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(BUNDLE.model(), options, providers=[CPU])
    return Buckets(session, values_on("cpu"), INPUT, WIDTHS)


@pytest.fixture(scope="module")
def features() -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    n_features = BUNDLE.manifest.descriptor.n_features
    return rng.uniform(0.0, 3.0, (5000, n_features)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 64, 65, 300, 5000])
def test_filled_up_batches_answer_as_the_plain_session(
    buckets: Buckets, features: NDArray[np.float32], n: int
) -> None:
    plain = Session(BUNDLE).run(features[:n])
    for got, want in zip(buckets.run(features[:n]), plain, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_device_sees_few_shapes(buckets: Buckets, features: NDArray[np.float32]) -> None:
    for n in (1, 2, 3, 9, 16, 20, 50, 64, 200):
        buckets.run(features[:n])
    assert buckets.sizes_in_use == (16, 64, 256)
    buckets.run(features)
    assert set(buckets.sizes_in_use) == set(SIZES)


def test_an_answer_outlives_the_next_one(buckets: Buckets, features: NDArray[np.float32]) -> None:
    first = buckets.run(features[:10])
    kept = [value.copy() for value in first]
    buckets.run(features[10:20])
    for value, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(value, copy)


def test_what_was_there_before_does_not_show(
    buckets: Buckets, features: NDArray[np.float32]
) -> None:
    alone = buckets.run(features[:3])
    buckets.run(np.full_like(features[:16], np.nan))
    for value, again in zip(alone, buckets.run(features[:3]), strict=True):
        np.testing.assert_array_equal(value, again)


def test_threads_share_it(buckets: Buckets, features: NDArray[np.float32]) -> None:
    with ThreadPoolExecutor(4) as pool:
        rows = [features[i : i + 7] for i in range(0, 280, 7)]
        answers = list(pool.map(buckets.run, rows))
    together = buckets.run(features[:280])[0]
    np.testing.assert_allclose(np.concatenate([a[0] for a in answers]), together, atol=1e-6)
