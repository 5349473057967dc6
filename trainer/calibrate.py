"""From what an ensemble said about spectra it had not seen: its error bars and its novelty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.principal import principal_axes, standard_scale

Array = NDArray[np.float64]

ONE_SIGMA = 0.6827
SMOOTHING_EV = 2.0
NOVELTY_COMPONENTS = 32
NOVELTY_QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """sigma(E)^2 = (factor * spread(E))^2 + floor(E)^2, spread smoothed over energy.

    factor  of the spread of the members, no unit
    floor   (n_energy,) in the unit of the intensity
    """

    factor: float
    floor: Array

    def sigma(self, variance: Array) -> Array:
        """One standard deviation (n, n_energy), of the smoothed variance of the members."""
        sigma: Array = np.sqrt(self.factor**2 * variance + self.floor**2)
        return sigma


def smoothing_matrix(energy: Array, width_ev: float = SMOOTHING_EV) -> Array:
    """(n_energy, n_energy): variance @ matrix is its Gaussian average over energy.

    A few members say little about the spread at one energy; their neighbours in energy help.
    """
    kernel = np.exp(-0.5 * ((energy[:, None] - energy[None, :]) / width_ev) ** 2)
    matrix: Array = kernel / kernel.sum(axis=0)
    return matrix


def smoothed_variance(members: NDArray[np.float32], energy: Array) -> Array:
    """Variance over members (members, n, n_energy), averaged over energy: (n, n_energy)."""
    mean = members.mean(axis=0)
    variance = ((members - mean) ** 2).sum(axis=0) / max(1, len(members) - 1)
    smooth: Array = variance.astype(np.float64) @ smoothing_matrix(energy)
    return smooth


def fit_error_model(residual: Array, variance: Array, energy: Array) -> ErrorModel:
    """The mix of spread and floor with the best continuous ranked probability score.

    residual, variance  (n, n_energy), of spectra held out. For each mix the scale is set so that
    one sigma holds 68.27 % of all points. Score: Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359
    (2007), eq. 21.
    """
    size = np.abs(residual)
    typical = np.quantile(size, ONE_SIGMA, axis=0) @ smoothing_matrix(energy)
    per_spread = float(np.quantile(size, ONE_SIGMA) / max(np.sqrt(variance.mean()), 1e-12))
    best: tuple[float, ErrorModel] | None = None
    for mix in np.linspace(0.0, 1.0, 21) if variance.any() else (0.0,):
        shape = ErrorModel(float(mix) * per_spread, (1.0 - 0.95 * mix) * typical)
        scale = float(np.quantile(size / np.maximum(shape.sigma(variance), 1e-12), ONE_SIGMA))
        model = ErrorModel(scale * shape.factor, scale * shape.floor)
        score = _ranked_probability_score(residual, model.sigma(variance))
        if best is None or score < best[0]:
            best = (score, model)
    assert best is not None
    return best[1]


def cross_fitted_sigma(
    residual: Array, variance: Array, energy: Array, fold: NDArray[np.int64]
) -> Array:
    """Sigma of each spectrum by a model calibrated on the other folds only, (n, n_energy)."""
    sigma = np.empty_like(residual)
    for held_out in np.unique(fold):
        other = fold != held_out
        model = fit_error_model(residual[other], variance[other], energy)
        sigma[~other] = model.sigma(variance[~other])
    return sigma


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


def novelty_arrays(features: Array, unit: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """The buffers of ``networks.Novelty`` for one set of training features (n, n_features)."""
    centre, std, varies = standard_scale(features)
    # A feature that never varied must not hide what is new: it counts in a typical unit.
    typical = float(np.median(std[varies])) if varies.any() else 1.0
    scale = 1.0 / np.where(varies, std, typical)
    x = (features - centre) * scale
    axes = principal_axes(x)[1][:, :NOVELTY_COMPONENTS]
    arrays = {"centre": centre, "scale": scale, "axes": axes, "points": x @ axes}
    arrays["unit"] = np.array(unit)
    return {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}
