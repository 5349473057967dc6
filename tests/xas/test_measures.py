"""Measures, with numbers that can be done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from xas.measures import (
    coverage,
    match_peaks,
    peak_agreement,
    percentage_error,
    prominent_peaks,
    summarise,
)

GRID = np.linspace(0.0, 40.0, 401)


def hills(*peaks):
    """Gaussians (position, height) of width 1 eV."""
    return sum(h * np.exp(-0.5 * (GRID - p) ** 2) for p, h in peaks)


def test_percentage_error_is_the_area_between_over_the_area_below():
    error = percentage_error([[1.0, 2.0], [3.0, 0.0]], [[1.0, 1.0], [2.0, 2.0]])
    np.testing.assert_allclose(error, [50.0, 75.0])


def test_a_summary_of_five_numbers():
    summary = summarise([1.0, 2.0, 3.0, 4.0, 10.0])
    assert (summary.n, summary.median, summary.lower_quartile) == (5, 3.0, 2.0)
    assert (summary.upper_quartile, summary.mean, summary.maximum) == (4.0, 4.0, 10.0)
    # third moment 180/5 over (50/5)^1.5
    assert summary.skewness == pytest.approx(36.0 / 10.0**1.5)
    assert summarise([2.0, 2.0]).skewness == 0.0


@pytest.mark.parametrize("values", [[], [np.nan], [1.0, np.inf]])
def test_a_summary_of_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="finite"):
        summarise(values)


def test_peaks_are_found_between_the_points_of_the_grid():
    found = prominent_peaks(GRID, hills((10.033, 1.0), (20.0, 0.5)))
    np.testing.assert_allclose(found, [10.033, 20.0], atol=1e-3)


def test_a_parabola_on_an_uneven_grid_has_its_vertex():
    grid = np.array([0.0, 1.0, 3.0, 3.5, 7.0])
    np.testing.assert_allclose(prominent_peaks(grid, -((grid - 2.7) ** 2)), [2.7])


def test_small_ripples_and_shoulders_are_not_prominent():
    ripple = 0.02 * np.sin(GRID * 6.0)
    assert len(prominent_peaks(GRID, hills((15.0, 1.0)) + ripple)) == 1
    assert len(prominent_peaks(GRID, hills((15.0, 1.0)) + ripple, prominence=0.001)) > 5
    assert len(prominent_peaks(GRID, GRID**2)) == 0
    assert len(prominent_peaks(GRID, np.zeros(401))) == 0


def test_prominence_is_measured_from_the_higher_saddle():
    values = np.array([0.0, 10.0, 6.0, 7.0, 2.0, 9.0, 0.0])
    energy = np.arange(7.0)
    assert len(prominent_peaks(energy, values, prominence=0.09)) == 3
    assert len(prominent_peaks(energy, values, prominence=0.11)) == 2
    assert len(prominent_peaks(energy, values, prominence=0.71)) == 1


def test_a_plateau_is_one_peak_in_its_middle():
    found = prominent_peaks(np.arange(6.0), np.array([0.0, 1.0, 1.0, 1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(found, [2.0])


def test_each_peak_is_matched_once_and_the_nearest_first():
    pairs = match_peaks(np.array([10.0, 11.0]), np.array([11.2, 30.0]), 5.0)
    assert pairs == [(11.0, 11.2)]
    assert match_peaks(np.array([]), np.array([1.0]), 5.0) == []
    assert sorted(match_peaks(np.array([1.0, 2.0]), np.array([1.5, 2.1]), 5.0)) == [
        (1.0, 1.5),
        (2.0, 2.1),
    ]


def test_agreement_of_peaks_by_hand():
    target = [hills((10.0, 1.0), (20.0, 1.0)), hills((15.0, 1.0), (30.0, 1.0))]
    prediction = [hills((10.5, 1.0), (20.0, 1.0)), hills((14.0, 1.0), (24.0, 1.0))]
    found = peak_agreement(GRID, prediction, target)
    assert (found.n_peaks, found.hit_rate, found.n_extra) == (4, 0.75, 1)
    assert found.mean == pytest.approx(0.5, abs=1e-3)
    assert found.maximum == pytest.approx(1.0, abs=1e-3)
    assert found.standard_deviation == pytest.approx(np.std([0.5, 0.0, 1.0]), abs=1e-3)
    assert found.mean_shift == pytest.approx(-0.5 / 3, abs=1e-3)
    assert found.r2 == pytest.approx(1.0 - 1.25 / 50.0, abs=1e-3)


def test_agreement_without_any_peak_is_not_a_number():
    found = peak_agreement(GRID, [GRID], [GRID])
    assert found.n_peaks == 0
    assert np.isnan([found.hit_rate, found.mean, found.r2]).all()
    missed = peak_agreement(GRID, [GRID], [hills((20.0, 1.0))])
    assert (missed.n_peaks, missed.hit_rate) == (1, 0.0)


def test_coverage_counts_the_points_within_the_interval():
    errors = np.ones((1, 4))
    target = np.array([[0.5, -0.9, 1.5, 3.0]])
    assert coverage(np.zeros((1, 4)), errors, target) == 0.5
    assert coverage(np.zeros((1, 4)), errors, target, level=0.95) == 0.75
    normal = np.random.default_rng(1).normal(size=100_000)
    assert coverage(np.zeros(100_000), 1.0, normal, 0.9) == pytest.approx(0.9, abs=0.005)
    with pytest.raises(ValueError, match="between 0 and 1"):
        coverage([0.0], [1.0], [0.0], level=1.0)
