"""Broadening, edge steps, normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xas.measures import percentage_error
from xas.spectrum import (
    Broadening,
    broaden,
    broadening_matrix,
    edge_step,
    fit_edge,
    normalise,
)

GRID = np.linspace(7097.0, 7172.0, 226)
EDGE = 7112.0
LORENTZIAN = Broadening(width=2.0, max_width=0.0, fermi=-1e6)


def arctangent_edge(energy, centre, step=1.0, width=2.0):
    return step * (0.5 + np.arctan((energy - centre) / (width / 2)) / np.pi)


def test_the_width_rises_from_the_core_hole_to_its_maximum():
    width = Broadening().widths([7000.0, 7111.0, 7111.0 + 30.0, 1e9], EDGE)
    # at e = 1 the arctangent is that of 0: half of the maximum width
    np.testing.assert_allclose(width, [1.0, 1.0, 1.0 + 7.5, 16.0], rtol=1e-6)


def test_a_line_becomes_a_lorentzian_of_its_width():
    line = np.zeros(2001)
    energy = np.linspace(-100.0, 100.0, 2001)
    line[1000] = 10.0
    found = broaden(energy, line, 0.0, LORENTZIAN)
    np.testing.assert_allclose(found[1000], 1.0 / np.pi, rtol=1e-3)
    np.testing.assert_allclose(found[[990, 1010]], 0.5 / np.pi, rtol=1e-3)


def test_a_step_becomes_an_arctangent_whatever_the_grid():
    energy = np.concatenate([np.linspace(-60.0, -5.0, 40), np.linspace(-4.95, 60.0, 1300)])
    step = np.where(energy > 0.0, 1.0, 0.0)
    wanted = arctangent_edge(energy, 0.0)
    np.testing.assert_allclose(broaden(energy, step, 0.0, LORENTZIAN), wanted, atol=0.02)


def test_occupied_states_absorb_nothing():
    assert not broadening_matrix(GRID, EDGE)[:, GRID < 7110.5].any()


def test_a_constant_stays_constant_far_above_the_edge():
    rows = broadening_matrix(np.linspace(7000.0, 9000.0, 2001), EDGE).sum(axis=1)
    np.testing.assert_allclose(rows[-500:], 1.0, atol=0.01)


def test_spectra_are_broadened_all_at_once():
    spectra = np.random.default_rng(1).random((3, 2, 226))
    found = broaden(GRID, spectra, EDGE)
    assert found.shape == (3, 2, 226)
    np.testing.assert_allclose(found[1, 1], broaden(GRID, spectra[1, 1], EDGE))


@pytest.mark.parametrize("energy", [[1.0], [1.0, 1.0], [2.0, 1.0], [[1.0, 2.0]], [1.0, np.nan]])
def test_a_grid_that_does_not_rise_is_refused(energy):
    with pytest.raises(ValueError, match="rising"):
        broadening_matrix(energy, EDGE)


@pytest.mark.data
def test_mu_of_the_reference_set_is_mu_raw_with_the_core_hole_only(data_dir: Path):
    with np.load(data_dir / "fe_k_xanesnet.npz") as data:
        grid, raw_grid = data["energy"], data["energy_raw"]
        mu, raw = data["mu"][::10].astype(float), data["mu_raw"][::10]
    core_hole = Broadening(width=1.25, max_width=0.0)
    found = broaden(raw_grid, raw, EDGE, core_hole, at=grid)
    assert np.median(percentage_error(np.pi / 0.2 * found, mu)) < 0.25
    with_arctangent = broaden(raw_grid, raw, EDGE, at=grid)
    scale = (with_arctangent * mu).sum() / (with_arctangent**2).sum()
    assert np.median(percentage_error(scale * with_arctangent, mu)) > 10.0


def test_the_step_of_an_arctangent_edge_is_its_height():
    spectra = np.stack([arctangent_edge(GRID, 7120.0, step) for step in (0.5, 2.0)])
    np.testing.assert_allclose(edge_step(GRID, spectra), [0.5, 2.0], rtol=0.03)
    np.testing.assert_allclose(normalise(GRID, spectra)[:, -1], 1.0, rtol=0.03)


def test_a_pre_edge_peak_is_not_taken_for_the_edge():
    peak = 0.8 * np.exp(-(((GRID - 7112.0) / 1.0) ** 2))
    fit = fit_edge(GRID, arctangent_edge(GRID, 7122.0) + peak)
    assert fit.edge_ev[0] == pytest.approx(7122.0, abs=1.5)


def test_a_sloping_background_below_a_measured_edge_is_removed():
    energy = np.linspace(6960.0, 7260.0, 601)
    spectrum = arctangent_edge(energy, EDGE, 0.7, 0.5) + 0.4 - 0.002 * (energy - EDGE)
    found = normalise(energy, spectrum, remove_floor=True)[0]
    np.testing.assert_allclose(found[energy < 7090.0], 0.0, atol=0.01)
    np.testing.assert_allclose(found[energy > 7140.0], 1.0, atol=0.01)


def test_points_packed_on_one_side_of_the_range_do_not_pull_the_step():
    coarse, fine = np.arange(7050.0, 7190.0, 1.0), np.arange(7137.0, 7150.0, 0.01)
    energy = np.unique(np.concatenate([coarse, fine]))
    wave = 0.3 * np.sin((energy - 7137.0) * 2 * np.pi / 25.0)
    step = edge_step(energy, np.where(energy >= EDGE, 1.0, 0.0) + wave * (energy > 7137.0))
    np.testing.assert_allclose(step, 1.0, atol=0.03)


@pytest.mark.parametrize("grid", [GRID, GRID[:-1], np.linspace(6960.0, 7260.0, 601)])
def test_the_step_of_many_float32_spectra_is_that_of_each_fit(grid):
    edges = np.linspace(7110.0, 7124.0, 700)[:, None]
    peak = 0.8 * np.exp(-(((grid - edges + 9.0) / 1.0) ** 2))
    spectra = arctangent_edge(grid, edges, 3.0) + peak * (np.arange(700) % 2)[:, None] + 0.1
    one_by_one = np.concatenate([fit_edge(grid, spectrum).step for spectrum in spectra])
    np.testing.assert_allclose(edge_step(grid, spectra.astype(np.float32)), one_by_one, rtol=1e-5)
    np.testing.assert_allclose(edge_step(grid, spectra), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_spectrum_without_a_step_has_none(value):
    assert np.isnan(edge_step(GRID, np.full((1, 226), value) * (GRID > EDGE))).all()
