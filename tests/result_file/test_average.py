"""The mean of a run and its error, against series whose true error is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.result_file.average import Average, RunningAverage

N_ENERGY = 200


def average_of(
    series: NDArray[np.float64], errors: float = 0.0, block: int = 97, status: int = 1
) -> Average:
    running = RunningAverage(np.arange(series.shape[1], dtype=np.float64))
    for low in range(0, len(series), block):
        part = series[low : low + block].astype(np.float32)
        running.add(np.full(len(part), status, np.uint8), part, np.full_like(part, errors))
    return running.average()


def autoregressive(n: int, phi: float) -> NDArray[np.float64]:
    """x_t = phi x_{t-1} + noise, of variance 1: the mean's variance is (1 + phi)/(1 - phi)/n."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, N_ENERGY))
    x[1:] *= np.sqrt(1 - phi**2)
    for t in range(1, n):
        x[t] += phi * x[t - 1]
    return x


def test_the_error_of_white_noise_is_its_spread_over_root_n() -> None:
    found = average_of(autoregressive(4096, 0.0))
    assert np.median(found.standard_error) == pytest.approx(1 / 64, rel=0.05)
    assert np.median(found.spread) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("phi", [0.5, 0.9, 0.98])
def test_the_error_of_a_correlated_series_counts_its_correlation(phi: float) -> None:
    n = 8192
    found = average_of(autoregressive(n, phi))
    truth = np.sqrt((1 + phi) / (1 - phi) / n)
    assert np.median(found.standard_error) == pytest.approx(truth, rel=0.15)


def test_the_blocks_in_which_rows_come_do_not_matter() -> None:
    series = 50.0 + autoregressive(1001, 0.7)
    one, other = average_of(series, block=1), average_of(series, block=1001)
    for name in ("intensity", "spread", "standard_error"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)
    mean = series.astype(np.float32).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(one.intensity, mean, rtol=1e-9)


def test_the_digits_of_a_large_background_are_kept() -> None:
    found = average_of(1e4 + autoregressive(512, 0.0))
    assert np.median(found.spread) == pytest.approx(1.0, rel=0.05)


def test_the_error_of_the_model_does_not_average_out() -> None:
    found = average_of(autoregressive(4096, 0.0), errors=0.5)
    np.testing.assert_allclose(found.model_error, 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.errors, np.hypot(found.standard_error, 0.5), rtol=1e-6)


def test_an_error_that_no_model_gave_is_unknown() -> None:
    found = average_of(autoregressive(64, 0.0), errors=np.nan)
    assert found.n == 64
    assert np.isnan(found.errors).all()
    assert np.isfinite(found.standard_error).all()


def test_dead_lettered_and_not_finite_rows_are_left_out() -> None:
    running = RunningAverage(np.arange(2.0))
    rows = np.array([[1, 1], [9, 9], [3, 3], [np.nan, 1]], np.float32)
    running.add(np.array([1, 2, 1, 1], np.uint8), rows, np.zeros_like(rows))
    assert running.average().n == 2
    np.testing.assert_array_equal(running.average().intensity, [2, 2])


def test_an_average_of_nothing_is_unknown_and_of_one_frame_has_the_models_error() -> None:
    nothing = average_of(np.ones((3, 4)), status=2)
    assert nothing.n == 0
    assert np.isnan(nothing.intensity).all()
    single = average_of(np.ones((1, 4)), errors=0.25)
    assert np.isnan(single.standard_error).all()
    np.testing.assert_array_equal(single.errors, 0.25)


def test_memory_grows_with_the_logarithm_of_the_run() -> None:
    running = RunningAverage(np.arange(3.0))
    for _ in range(64):
        rows = np.ones((256, 3), np.float32)
        running.add(np.ones(256, np.uint8), rows, rows)
    assert len(running._levels) == 15
