"""A measured spectrum against a predicted one: how well do they agree, after a shift and a scale?

Both are normalised to their edge step. Then the predicted spectrum is moved along the energy axis
and multiplied by one number, so that the squared difference is least: calculations and
monochromators each have an energy origin of their own, and edge steps are known to a few percent.
Nothing else is fitted: no broadening, no background beyond the line below the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream.sources.measured import MeasuredSpectrum
from xas.errors import BadSpectrum
from xas.spectrum import fit_edge

Array = NDArray[np.float64]

MAX_SHIFT_EV = 15.0
GRID_EV = 0.1
NEAR_EDGE_EV = 200.0
PRE_EDGE_EV = 25.0
MIN_OVERLAP = 0.6
"""At every shift that is tried, at least this part of the predicted grid must be measured."""
MIN_POINTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The agreement of one measured and one predicted spectrum.

    energy      (n,) eV, of the measured spectrum: the predicted grid, shifted, where both are known
    measured    (n,) the measured spectrum divided by its edge step, interpolated to `energy`
    predicted   (n,) the predicted one divided by its edge step and multiplied by `scale`
    errors      (n,) one standard deviation of `predicted`; None where none was given
    shift_ev    add it to predicted energies to obtain measured ones
    scale       multiply normalised predictions by it
    distance_percent  100 sum|predicted - measured| / sum|measured|
    rms         root of the mean squared difference, in edge steps
    correlation Pearson's
    within_errors  the part of the points that differ by at most two standard deviations, or None
    name        of the measured sample
    """

    energy: Array
    measured: Array
    predicted: Array
    errors: Array | None
    shift_ev: float
    scale: float
    distance_percent: float
    rms: float
    correlation: float
    within_errors: float | None
    name: str

    @property
    def overlap_ev(self) -> tuple[float, float]:
        """The measured energies that were compared."""
        return float(self.energy[0]), float(self.energy[-1])

    @property
    def at_limit(self) -> bool:
        """Whether the shift is as large as it may be, so that the match means little."""
        return abs(self.shift_ev) > MAX_SHIFT_EV - GRID_EV


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two normalised spectra to be brought over each other."""

    grid: Array
    predicted: Array
    measured_energy: Array
    measured: Array

    def overlap(self, shift: float) -> NDArray[np.bool_]:
        moved = self.grid + shift
        inside: NDArray[np.bool_] = (moved >= self.measured_energy[0]) & (
            moved <= self.measured_energy[-1]
        )
        return inside

    def at(self, shift: float) -> tuple[Array, Array]:
        """Measured and predicted values where both are known."""
        inside = self.overlap(shift)
        moved = self.grid[inside] + shift
        return np.interp(moved, self.measured_energy, self.measured), self.predicted[inside]

    def misfit(self, shift: float) -> float:
        """The part of the measured square sum that the best scale leaves unexplained."""
        inside = self.overlap(shift)
        if inside.sum() < max(MIN_POINTS, MIN_OVERLAP * len(self.grid)):
            return np.inf
        measured, predicted = self.at(shift)
        left = measured - best_scale(measured, predicted) * predicted
        return float(left @ left / (measured @ measured))


def match(
    measured: MeasuredSpectrum,
    energy: ArrayLike,
    intensity: ArrayLike,
    errors: ArrayLike | None = None,
) -> Match:
    """Fit a shift of at most 15 eV and a positive scale; the best of the whole range is found.

    energy, intensity, errors  (n_energy,) the predicted spectrum, eV and any scale

    BadSpectrum where the two do not overlap, or one of them does not rise at an edge.
    """
    grid = np.asarray(energy, dtype=np.float64)
    spectrum = np.asarray(intensity, dtype=np.float64)
    if grid.ndim != 1 or spectrum.shape != grid.shape:
        raise BadSpectrum(f"one predicted spectrum is needed, not the shape {spectrum.shape}")
    if not np.isfinite(spectrum).all():
        raise BadSpectrum("the predicted spectrum is not finite")
    edge = fit_edge(grid, spectrum)
    if not np.isfinite(edge.step[0]):
        raise BadSpectrum("the predicted spectrum has no edge step")
    step = float(edge.step[0])
    known, level = normalised_measurement(measured, float(edge.edge_ev[0]))
    pair = _Pair(grid, spectrum / step, known, level)
    shift = best_shift(pair, measured.name)
    deviation = None if errors is None else np.asarray(errors, dtype=np.float64) / step
    return _judge(pair, shift, deviation, measured.name)


def normalised_measurement(measured: MeasuredSpectrum, edge_ev: float) -> tuple[Array, Array]:
    """Return energies (n,) and the spectrum (n,) within 200 eV of an edge, in edge steps.

    The straight line through what lies more than 25 eV below the edge is subtracted first.
    """
    near = np.abs(measured.energy_ev - edge_ev) <= NEAR_EDGE_EV
    if near.sum() < MIN_POINTS:
        low, high = measured.energy_ev[[0, -1]]
        what = f"{measured.element} {measured.edge or ''}".strip() if measured.element else "it"
        raise BadSpectrum(
            f"{measured.name}: measured from {low:.0f} to {high:.0f} eV ({what}), but the edge"
            f" predicted lies at {edge_ev:.0f} eV; give a spectrum of that edge"
        )
    energy, mu = measured.energy_ev[near], measured.mu[near]
    if energy[0] >= edge_ev:
        raise BadSpectrum(f"{measured.name} begins above the edge at {edge_ev:.0f} eV")
    below = energy < edge_ev - PRE_EDGE_EV
    if below.sum() >= 3:
        mu = mu - np.polynomial.Polynomial.fit(energy[below], mu[below], 1)(energy)
    fit = fit_edge(energy, mu)
    above = mu[energy > edge_ev]
    rises = len(above) > 0 and above.mean() > mu[energy <= edge_ev].mean()
    if not (rises and np.isfinite(fit.step[0])):
        raise BadSpectrum(
            f"{measured.name} does not rise at {edge_ev:.0f} eV; are i0 and itrans swapped?"
        )
    return energy, (mu - fit.floor[0]) / fit.step[0]


def best_scale(measured: Array, predicted: Array) -> float:
    """Return the factor, at least 0, that brings predicted values nearest to the measured."""
    square = float(predicted @ predicted)
    return max(0.0, float(measured @ predicted) / square) if square > 0.0 else 0.0


def best_shift(pair: _Pair, name: str = "") -> float:
    """Search the whole range in steps of 0.1 eV, then refine around the best."""
    shifts = np.arange(-MAX_SHIFT_EV, MAX_SHIFT_EV + GRID_EV / 2, GRID_EV)
    misfits = np.array([pair.misfit(shift) for shift in shifts])
    best = int(np.argmin(misfits))
    if not np.isfinite(misfits[best]):
        raise BadSpectrum(f"{name}: less than {MIN_OVERLAP:.0%} of the predicted range is measured")
    if best in (0, len(shifts) - 1) or not np.isfinite(misfits[best - 1 : best + 2]).all():
        return float(shifts[best])
    return float(shifts[best]) + _vertex(misfits[best - 1 : best + 2]) * GRID_EV


def _vertex(values: Array) -> float:
    """Return where a parabola through three values at -1, 0, 1 is least."""
    curvature = values[0] - 2.0 * values[1] + values[2]
    return float(0.5 * (values[0] - values[2]) / curvature) if curvature > 0.0 else 0.0


def _judge(pair: _Pair, shift: float, deviation: Array | None, name: str) -> Match:
    inside = pair.overlap(shift)
    measured, predicted = pair.at(shift)
    scale = best_scale(measured, predicted)
    fitted = scale * predicted
    errors = None if deviation is None else scale * deviation[inside]
    difference = fitted - measured
    return Match(
        energy=pair.grid[inside] + shift,
        measured=measured,
        predicted=fitted,
        errors=errors,
        shift_ev=shift,
        scale=scale,
        distance_percent=float(100.0 * np.abs(difference).sum() / np.abs(measured).sum()),
        rms=float(np.sqrt(np.mean(difference**2))),
        correlation=_correlation(measured, fitted),
        within_errors=None
        if errors is None
        else float(np.mean(np.abs(difference) <= 2.0 * errors)),
        name=name,
    )


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0.0 else 0.0
