"""How well predicted spectra agree with their reference."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PROMINENCE = 0.05
"""A prominent peak rises by this part of the spectrum's range (maximum - minimum) over the higher
of the two saddles that part it from higher ground."""
MATCHING_WINDOW_EV = 5.0
"""A peak counts as found where a predicted one lies within this distance."""


def percentage_error(prediction: ArrayLike, target: ArrayLike) -> Array:
    """100 sum|prediction - target| / sum(target) of each spectrum, (n,), of (n, n_energy) arrays.

    Rankine and Penfold, J. Chem. Phys. 156, 164102 (2022).
    """
    wanted = np.atleast_2d(np.asarray(target, dtype=np.float64))
    difference = np.atleast_2d(np.asarray(prediction, dtype=np.float64)) - wanted
    error: Array = 100.0 * np.abs(difference).sum(axis=1) / wanted.sum(axis=1)
    return error


@dataclass(frozen=True, slots=True)
class Summary:
    """A distribution in a few numbers; skewness is the third standardised moment."""

    n: int
    median: float
    lower_quartile: float
    upper_quartile: float
    skewness: float
    mean: float
    maximum: float


def summarise(values: ArrayLike) -> Summary:
    """Median, quartiles and skewness of a row of numbers; ValueError where empty or not finite."""
    row = np.asarray(values, dtype=np.float64).ravel()
    if not len(row) or not np.isfinite(row).all():
        raise ValueError("a summary needs one or more finite numbers")
    lower, median, upper = np.quantile(row, [0.25, 0.5, 0.75])
    centred = row - row.mean()
    spread = float((centred**2).mean())
    skewness = float((centred**3).mean() / spread**1.5) if spread > 0.0 else 0.0
    return Summary(
        n=len(row),
        median=float(median),
        lower_quartile=float(lower),
        upper_quartile=float(upper),
        skewness=skewness,
        mean=float(row.mean()),
        maximum=float(row.max()),
    )


def prominent_peaks(
    energy: ArrayLike, spectrum: ArrayLike, prominence: float = PROMINENCE
) -> Array:
    """Positions of the prominent peaks of one spectrum, eV, rising.

    A peak is a point, or the middle of a plateau, above both its neighbours. Its prominence is its
    height over the higher of the two lowest points between it and the nearest higher point (or the
    end of the grid) on either side; prominent are those of ``prominence`` times the range of the
    spectrum or more. The position is that of the parabola through the peak and its two neighbours.
    """
    grid = np.asarray(energy, dtype=np.float64)
    values = np.asarray(spectrum, dtype=np.float64)
    least = prominence * (values.max() - values.min())
    return np.array(
        [
            _vertex(grid, values, first, last)
            for first, last in _local_maxima(values)
            if least > 0.0 and _prominence(values, first) >= least
        ],
        dtype=np.float64,
    )


def _local_maxima(values: Array) -> list[tuple[int, int]]:
    """First and last point of each plateau that is higher than what adjoins it; not at the ends."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0.0]))
    ends = np.concatenate([starts[1:] - 1, [len(values) - 1]])
    heights = values[starts]
    inner = np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])) + 1
    return [(int(starts[i]), int(ends[i])) for i in inner]


def _prominence(values: Array, peak: int) -> float:
    higher = np.flatnonzero(values > values[peak])
    left = higher[higher < peak]
    right = higher[higher > peak]
    low = int(left[-1]) if len(left) else 0
    high = int(right[0]) if len(right) else len(values) - 1
    saddle = max(values[low : peak + 1].min(), values[peak : high + 1].min())
    return float(values[peak] - saddle)


def _vertex(grid: Array, values: Array, first: int, last: int) -> float:
    """Of the parabola through a peak and its neighbours, on any grid; a plateau has its middle."""
    if last > first:
        return float(0.5 * (grid[first] + grid[last]))
    left, right = grid[first - 1] - grid[first], grid[first + 1] - grid[first]
    fall_left = (values[first - 1] - values[first]) / left
    fall_right = (values[first + 1] - values[first]) / right
    curvature = (fall_right - fall_left) / (right - left)
    slope = fall_left - curvature * left
    return float(grid[first] - 0.5 * slope / curvature)


@dataclass(frozen=True, slots=True)
class PeakAgreement:
    """How far the prominent peaks of predictions lie from those of their targets; energies in eV.

    n_peaks     prominent peaks of all targets; hit_rate: the part of them that was found
    n_extra     predicted prominent peaks that belong to no peak of a target
    mean, maximum, standard_deviation   of |shift| over the found ones
    mean_shift  of prediction - target
    r2          coefficient of determination of the predicted positions of the found ones
    NaN where nothing was found.
    """

    n_peaks: int
    hit_rate: float
    n_extra: int
    mean: float
    maximum: float
    standard_deviation: float
    mean_shift: float
    r2: float


def peak_agreement(
    energy: ArrayLike,
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    prominence: float = PROMINENCE,
    window_ev: float = MATCHING_WINDOW_EV,
) -> PeakAgreement:
    """Match prominent peaks, nearest first, each once, within the window; (n, n_energy) arrays."""
    pairs: list[tuple[float, float]] = []
    n_peaks = n_found = 0
    for predicted, wanted in zip(np.atleast_2d(prediction), np.atleast_2d(target), strict=True):
        found = prominent_peaks(energy, predicted, prominence)
        reference = prominent_peaks(energy, wanted, prominence)
        n_peaks, n_found = n_peaks + len(reference), n_found + len(found)
        pairs += match_peaks(found, reference, window_ev)
    n_extra = n_found - len(pairs)
    if not pairs:
        nan = float("nan")
        return PeakAgreement(n_peaks, 0.0 if n_peaks else nan, n_extra, nan, nan, nan, nan, nan)
    positions = np.array(pairs)
    shift = positions[:, 0] - positions[:, 1]
    variance = float(((positions[:, 1] - positions[:, 1].mean()) ** 2).sum())
    return PeakAgreement(
        n_peaks=n_peaks,
        hit_rate=len(pairs) / n_peaks,
        n_extra=n_extra,
        mean=float(np.abs(shift).mean()),
        maximum=float(np.abs(shift).max()),
        standard_deviation=float(np.abs(shift).std()),
        mean_shift=float(shift.mean()),
        r2=1.0 - float((shift**2).sum()) / variance if variance > 0.0 else float("nan"),
    )


def match_peaks(found: Array, wanted: Array, window_ev: float) -> list[tuple[float, float]]:
    """Pairs (found, wanted) within the window: the nearest two first, each peak once."""
    distance = np.abs(found[:, None] - wanted[None, :])
    pairs = []
    while distance.size and (nearest := distance.min()) <= window_ev:
        i, j = np.unravel_index(int(np.argmin(distance)), distance.shape)
        pairs.append((float(found[i]), float(wanted[j])))
        distance[i, :] = distance[:, j] = np.inf
        if not np.isfinite(nearest):
            break
    return pairs


def coverage(
    prediction: ArrayLike, errors: ArrayLike, target: ArrayLike, level: float = 0.6827
) -> float:
    """The part of all points whose target lies in the central interval of this level.

    errors is one standard deviation of a normal distribution; a calibrated prediction covers
    ``level`` of the points.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, not at {level}")
    reach = NormalDist().inv_cdf(0.5 + 0.5 * level)
    distance = np.abs(np.asarray(prediction, np.float64) - np.asarray(target, np.float64))
    return float((distance <= reach * np.asarray(errors, np.float64)).mean())
