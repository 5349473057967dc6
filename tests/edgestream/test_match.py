"""Measured against predicted: planted shifts and scales are found, nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgestream.match import MAX_SHIFT_EV, match, normalised_measurement
from stream.sources.measured import MeasuredSpectrum, read_measured
from xas.edges import edge_energy_ev
from xas.errors import BadSpectrum

GRID = np.arange(7097.0, 7172.1, 1.0 / 3.0)
WIDE = np.concatenate([np.arange(6950.0, 7090.0, 5.0), np.arange(7090.0, 7250.0, 0.25)])


def spectrum(energy):
    """An edge at 7120 with a white line, a pre-edge peak and one oscillation."""
    edge = 0.5 + np.arctan((energy - 7120.0) / 1.5) / np.pi
    white = 0.6 * np.exp(-(((energy - 7126.0) / 3.0) ** 2))
    peak = 0.1 * np.exp(-(((energy - 7113.0) / 1.0) ** 2))
    wave = 0.1 * np.exp(-(((energy - 7145.0) / 8.0) ** 2))
    return edge + white + peak + wave


def measured(shift=0.0, factor=1.0, line=(0.0, 0.0), energy=WIDE):
    background = line[0] + line[1] * (energy - 7000.0)
    mu = factor * spectrum(energy - shift) + background
    return MeasuredSpectrum(energy_ev=energy, mu=mu, element="Fe", edge="K", name="planted")


@given(
    shift=st.floats(-13.0, 13.0),
    factor=st.floats(1e-3, 1e3),
    offset=st.floats(-3.0, 3.0),
    slope=st.floats(-2e-3, 2e-3),
)
@settings(max_examples=40, deadline=None)
def test_a_planted_shift_is_found_whatever_scale_and_background(shift, factor, offset, slope):
    sample = measured(shift, factor, (offset * factor, slope * factor))
    found = match(sample, GRID, 0.4 * spectrum(GRID))
    assert found.shift_ev == pytest.approx(shift, abs=0.1)
    assert found.correlation > 0.995
    assert not found.at_limit


def test_the_same_spectrum_matches_exactly():
    found = match(measured(shift=2.5), GRID, spectrum(GRID), np.full(len(GRID), 0.05))
    assert found.shift_ev == pytest.approx(2.5, abs=0.05)
    assert found.scale == pytest.approx(1.0, abs=0.02)
    assert found.distance_percent < 2.0
    assert found.rms < 0.02
    assert found.within_errors == 1.0
    assert found.errors is not None
    assert found.errors.shape == found.predicted.shape == found.energy.shape


def test_a_planted_scale_is_found():
    oscillations = spectrum(GRID) - 0.25 * (GRID > 7150.0)  # a step that is found too small
    found = match(measured(), GRID, oscillations)
    assert found.scale < 1.0
    assert found.shift_ev == pytest.approx(0.0, abs=0.3)


def test_the_best_of_two_valleys_is_found():
    # The white line of the measured spectrum looks like the edge 9 eV too late at a first glance.
    sample = measured(shift=9.0)
    assert match(sample, GRID, spectrum(GRID)).shift_ev == pytest.approx(9.0, abs=0.05)


def test_a_shift_beyond_the_limit_is_flagged():
    found = match(measured(shift=25.0), GRID, spectrum(GRID))
    assert abs(found.shift_ev) <= MAX_SHIFT_EV
    assert found.at_limit


def test_only_what_both_know_is_compared():
    short = WIDE[(WIDE > 7090.0) & (WIDE < 7160.0)]
    found = match(measured(energy=short), GRID, spectrum(GRID))
    low, high = found.overlap_ev
    assert 7090.0 < low < 7100.0
    assert 7155.0 < high < 7160.0
    assert found.shift_ev == pytest.approx(0.0, abs=0.1)


def test_a_spectrum_of_another_edge_is_refused():
    sample = measured()
    copper = MeasuredSpectrum(
        energy_ev=sample.energy_ev + 1900.0, mu=sample.mu, element="Cu", edge="K", name="foil"
    )
    with pytest.raises(BadSpectrum, match=r"foil: measured from 8850 to 9150 eV \(Cu K\)"):
        match(copper, GRID, spectrum(GRID))


def test_swapped_detectors_are_named():
    with pytest.raises(BadSpectrum, match="are i0 and itrans swapped"):
        match(measured(factor=-1.0), GRID, spectrum(GRID))


def test_too_little_overlap_is_refused():
    short = WIDE[(WIDE > 7105.0) & (WIDE < 7135.0)]
    with pytest.raises(BadSpectrum, match="less than 60%"):
        match(measured(energy=short), GRID, spectrum(GRID))


@pytest.mark.parametrize("bad", [np.zeros(226), np.full(226, np.nan), np.zeros((2, 226))])
def test_a_prediction_without_an_edge_is_refused(bad):
    with pytest.raises(BadSpectrum):
        match(measured(), GRID, bad[: len(GRID)] if bad.ndim == 1 else bad)


@pytest.mark.data
def test_every_measured_spectrum_of_the_corpus_rises_at_its_edge(data_dir):
    for path in sorted((data_dir / "xdi").glob("*.xdi")):
        sample = read_measured(path)
        edge = edge_energy_ev(sample.element, sample.edge)
        _, level = normalised_measurement(sample, edge)
        assert 1.0 < level.max() < 5.0, path.name


@pytest.mark.data
def test_reduced_iron_is_shifted_down_against_oxidised_iron(data_dir):
    with np.load(data_dir / "fe_k_xanesnet.npz") as labels:
        energy, mean = labels["energy"], labels["mu"].mean(axis=0)
    ferric = match(read_measured(data_dir / "xdi" / "Fe2O3_rt_01.xdi"), energy, mean)
    ferrous = match(read_measured(data_dir / "xdi" / "FeO_rt_01.xdi"), energy, mean)
    assert 3.0 < ferric.shift_ev - ferrous.shift_ev < 6.0
    assert ferric.distance_percent < 15.0
