"""From what an ensemble said about spectra it had not seen: its error bars and its novelty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.principal import principal_axes

Array = NDArray[np.float64]

ONE_SIGMA = 0.6827
SMOOTHING_EV = 2.0
SAMPLING_EV = 1.0
NOVELTY_COMPONENTS = 32
NOVELTY_QUANTILE = 0.99
MIXES = np.linspace(0.0, 1.0, 11)
LEVELS = {"68": 0.6827, "95": 0.9545, "99": 0.9973}
"""What the intervals should hold: 1, 2 and 3 standard deviations of a normal distribution."""
GROWTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
MOST_SPECTRA = 1500


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """sigma(E)^2 = (factor * spread(E))^2 + (floor(E) * novelty^growth)^2.

    factor  of the spread of the members, smoothed over energy; no unit
    floor   (n_energy,) in the unit of the intensity
    growth  how fast the floor rises with the novelty
    """

    factor: float
    floor: Array
    growth: float

    def sigma(self, variance: Array, novelty: Array) -> Array:
        """One standard deviation (n, n_energy), of the smoothed variance and novelty (n,)."""
        floor = self.floor * (novelty**self.growth)[:, None]
        sigma: Array = np.sqrt(self.factor**2 * variance + floor**2)
        return sigma


def sampled_energies(energy: Array) -> NDArray[np.int64]:
    """Where along the energies members are compared: about every SAMPLING_EV."""
    chosen = [0]
    for i in range(1, len(energy)):
        if i + 1 == len(energy) or energy[i + 1] - energy[chosen[-1]] > SAMPLING_EV:
            chosen.append(i)
    return np.array(chosen)


def smoothing_matrix(energy: Array, width_ev: float = SMOOTHING_EV) -> Array:
    """(n_sampled, n_energy): variance @ matrix is its Gaussian average over energy.

    A few members say little about the spread at one energy; their neighbours in energy help.
    """
    sampled = energy[sampled_energies(energy)]
    kernel = np.exp(-0.5 * ((sampled[:, None] - energy[None, :]) / width_ev) ** 2)
    matrix: Array = kernel / kernel.sum(axis=0)
    return matrix


def smoothed_variance(
    members: NDArray[np.float32], shares: NDArray[np.float32], energy: Array
) -> Array:
    """Variance over members (members, n, n_energy), averaged over energy: (n, n_energy).

    shares  (members,) of each in the mean; the variance is the unbiased one of such weights
    """
    sampled = members[..., sampled_energies(energy)]
    off = sampled - np.tensordot(shares, sampled, 1)
    left = 1.0 - float((shares**2).sum())
    squares = np.tensordot(shares, off**2, 1) / (left if left > 1e-6 else 1.0)
    smooth: Array = squares.astype(np.float64) @ smoothing_matrix(energy)
    return smooth


def fit_error_model(residual: Array, variance: Array, novelty: Array, energy: Array) -> ErrorModel:
    """The mix of spread and floor, and its growth, of best continuous ranked probability score.

    residual, variance (n, n_energy) and novelty (n,), of spectra held out, of which an even share
    is enough. For each choice the scale is set so that one sigma holds 68.27 % of all points.
    Score: Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007), eq. 21.
    """
    some = slice(None, None, 1 + len(residual) // MOST_SPECTRA)
    residual, variance, novelty = residual[some], variance[some], novelty[some]
    size = np.abs(residual)
    per_spread = float(np.quantile(size, ONE_SIGMA) / max(np.sqrt(variance.mean()), 1e-12))
    best: tuple[float, ErrorModel] | None = None
    for growth in GROWTHS:
        floor = _typical(size / (novelty**growth)[:, None], energy)
        for mix in MIXES if variance.any() else (0.0,):
            shape = ErrorModel(float(mix) * per_spread, (1.0 - 0.95 * mix) * floor, growth)
            pull = size / np.maximum(shape.sigma(variance, novelty), 1e-12)
            scale = float(np.quantile(pull, ONE_SIGMA))
            model = ErrorModel(scale * shape.factor, scale * shape.floor, growth)
            score = _ranked_probability_score(residual, model.sigma(variance, novelty))
            if best is None or score < best[0]:
                best = (score, model)
    assert best is not None
    return best[1]


def evenly(weights: Array, n: int) -> NDArray[np.int64]:
    """Which of the labels, (n,) rising: each as often as its part of all weights (n_labels,) says,
    rounded; for as many as there are, of one weight, each once."""
    ends = np.cumsum(weights)
    drawn: NDArray[np.int64] = np.searchsorted(ends, (np.arange(n) + 0.5) / n * ends[-1])
    return drawn


def _typical(size: Array, energy: Array) -> Array:
    """What 68.27 % of the errors at each energy stay below, smoothed over energy."""
    chosen = sampled_energies(energy)
    typical: Array = np.quantile(size[:, chosen], ONE_SIGMA, axis=0) @ smoothing_matrix(energy)
    return typical


def cross_fitted_sigma(
    residual: Array, variance: Array, novelty: Array, energy: Array, fold: NDArray[np.int64]
) -> Array:
    """Sigma of each spectrum by a model calibrated on the other folds only, (n, n_energy)."""
    sigma = np.empty_like(residual)
    for held_out in np.unique(fold):
        other = fold != held_out
        model = fit_error_model(residual[other], variance[other], novelty[other], energy)
        sigma[~other] = model.sigma(variance[~other], novelty[~other])
    return sigma


def conformal_reach(pull: Array) -> dict[str, float]:
    """How many sigma to either side hold each of LEVELS of the points, whatever their distribution.

    pull  (n, n_energy), |error| / sigma of spectra held out. This is split conformal prediction
    with |error| / sigma for a score: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), section 5.2,
    pooled over energies.
    """
    return {name: float(np.quantile(pull, level)) for name, level in LEVELS.items()}


def within_reach(pull: Array, fold: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """For each of LEVELS, whether a point lies within the reach found on the other folds."""
    within = {name: np.empty(pull.shape, dtype=np.bool_) for name in LEVELS}
    for held_out in np.unique(fold):
        test = fold == held_out
        for name, reach in conformal_reach(pull[~test]).items():
            within[name][test] = pull[test] <= reach
    return within


def _ranked_probability_score(residual: Array, sigma: Array) -> float:
    z = residual / sigma
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    score = sigma * (z * (2.0 * _normal_cdf(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
    return float(score.mean())


def _normal_cdf(z: Array) -> Array:
    """Within 1e-7. Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    terms = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
    tail = sum(c * t ** (i + 1) for i, c in enumerate(terms)) * np.exp(-0.5 * z**2)
    tail = tail / np.sqrt(2.0 * np.pi)
    cdf: Array = np.where(z > 0.0, 1.0 - tail, tail)
    return cdf


def novelty_arrays(
    scaled: Array, n_landmarks: int, unit: float = 1.0
) -> dict[str, NDArray[np.float32]]:
    """The buffers of ``networks.Novelty`` for standardised training features (n, n_features)."""
    axes = principal_axes(scaled)[1][:, :NOVELTY_COMPONENTS]
    arrays = {
        "axes": axes,
        "landmarks": _spread_out(scaled @ axes, n_landmarks),
        "unit": np.array(unit),
    }
    return {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}


def _spread_out(points: Array, n: int) -> Array:
    """At most n of the points, each the farthest from those before it; the first is the central."""
    square = (points**2).sum(axis=1)
    chosen = [int(np.argmin(square))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < n:
        last = points[chosen[-1]]
        distance = np.minimum(distance, square - 2.0 * (points @ last) + last @ last)
        chosen.append(int(np.argmax(distance)))
        if distance[chosen[-1]] <= 1e-9 * square.max():
            return points[chosen[:-1]]  # the others are the same again
    return points[chosen]
