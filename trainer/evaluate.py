"""How good a recipe is on spectra that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.manifest import Measures, PeakErrors, PercentErrors
from trainer.archive import Labels, grouped_folds
from trainer.calibrate import (
    NOVELTY_QUANTILE,
    ErrorModel,
    cross_fitted_sigma,
    fit_error_model,
    smoothed_variance,
)
from trainer.fit import Lesson, fit_each, predict
from trainer.networks import DISTANCE_FLOOR, Ensemble
from trainer.predictor import novelty_of
from trainer.progress import Clock
from trainer.recipe import Recipe
from xas.edges import edge_energy_ev
from xas.measures import coverage, peak_agreement, percentage_error, summarise
from xas.spectrum import broaden

Array = NDArray[np.float64]

LEVELS = {"68": 0.6827, "95": 0.9545, "99": 0.9973}


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What was said about each label by an ensemble that had not seen its group.

    fold      (n,) int64, in which fold the label was held out
    mean      (n, n_energy) float64
    variance  (n, n_energy) float64, of the members, smoothed over energy; not calibrated
    distance  (n,) float64, to the training data of the other folds; not calibrated
    """

    fold: NDArray[np.int64]
    mean: Array
    variance: Array
    distance: Array

    @property
    def novelty(self) -> Array:
        """(n,) float64: the distance in units of its 99th percentile."""
        return np.sqrt((self.distance / self.novelty_unit) ** 2 + DISTANCE_FLOOR**2)

    def error_model(self, labels: Labels) -> ErrorModel:
        """Calibrated on all of these predictions."""
        residual = labels.intensity - self.mean
        return fit_error_model(residual, self.variance, self.novelty, labels.energy)

    def sigma(self, labels: Labels) -> Array:
        """Error bars whose calibration had not seen the fold either, (n, n_energy)."""
        residual = labels.intensity - self.mean
        return cross_fitted_sigma(residual, self.variance, self.novelty, labels.energy, self.fold)

    def figures(self, labels: Labels, model: ErrorModel, sigma: Array) -> dict[str, float]:
        """What the calibration found; ``interval_95``: how many sigma really hold 95.45 %."""
        pull = np.abs(labels.intensity - self.mean) / sigma
        figures = {
            "factor": model.factor,
            "floor_median": float(np.median(model.floor)),
            "growth": model.growth,
            "novelty_unit": self.novelty_unit,
        }
        figures |= {f"interval_{k}": float(np.quantile(pull, v)) for k, v in LEVELS.items()}
        return {name: float(f"{value:.4g}") for name, value in figures.items()}

    @property
    def novelty_unit(self) -> float:
        """The distance that 99 % of the held-out labels stay below."""
        return float(np.quantile(self.distance, NOVELTY_QUANTILE))


def cross_validate(recipe: Recipe, labels: Labels, features: Array, clock: Clock) -> OutOfFold:
    """Fit once a fold on the other folds, as the final model is fitted on all of them."""
    clock.stage = f"cross-validation in {recipe.folds} folds"
    fold = grouped_folds(labels.groups, recipe.folds, recipe.seed)
    mean, variance = np.empty_like(labels.intensity), np.empty_like(labels.intensity)
    distance = np.empty(len(labels))
    lessons = [
        Lesson(features[fold != k], labels.intensity[fold != k], recipe.seed + 1 + k)
        for k in range(recipe.folds)
    ]
    for k, ensemble in enumerate(fit_each(recipe, lessons, clock.epoch)):
        test = fold == k
        members = predict(ensemble, features[test])
        mean[test] = members.mean(axis=0)
        variance[test] = smoothed_variance(members, labels.energy)
        distance[test] = _distance(ensemble, lessons[k].features, features[test])
    return OutOfFold(fold, mean, variance, distance)


def _distance(ensemble: Ensemble, known: Array, asked: Array) -> Array:
    novelty = novelty_of(ensemble, known)
    rows = ensemble.scaled(torch.from_numpy(asked.astype(np.float32)))
    with torch.no_grad():
        parts = [novelty(part).numpy() for part in torch.split(rows, 512)]
    return np.concatenate(parts).astype(np.float64)


def measures(
    model: str, split: str, labels: Labels, edge: str, mean: Array, sigma: Array
) -> tuple[Measures, Measures]:
    """The two rows of the table: the spectra as they are, and after the arctangent broadening.

    mean, sigma  (n, n_energy), out of fold
    """
    plain = _row(labels.energy, mean, labels.intensity)
    edge_ev = edge_energy_ev(labels.element, edge)
    broad = _row(
        labels.energy,
        broaden(labels.energy, mean, edge_ev),
        broaden(labels.energy, labels.intensity, edge_ev),
    )
    covered = {
        name: round(coverage(mean, sigma, labels.intensity, level), 4)
        for name, level in LEVELS.items()
    }
    common: dict[str, Any] = {"model": model, "split": split, "n_spectra": len(labels)}
    return (
        Measures(**common, broadened=False, percent=plain[0], peaks=plain[1], coverage=covered),
        Measures(**common, broadened=True, percent=broad[0], peaks=broad[1]),
    )


def _row(energy: Array, mean: Array, target: Array) -> tuple[PercentErrors, PeakErrors]:
    errors = summarise(percentage_error(mean, target))
    peaks = peak_agreement(energy, mean, target)
    return (
        PercentErrors(
            median=round(errors.median, 3),
            lower_quartile=round(errors.lower_quartile, 3),
            upper_quartile=round(errors.upper_quartile, 3),
            skewness=round(errors.skewness, 3),
        ),
        PeakErrors(
            mean_ev=_short(peaks.mean),
            max_ev=_short(peaks.maximum),
            std_ev=_short(peaks.standard_deviation),
            r2=_short(peaks.r2),
            hit_rate=_short(peaks.hit_rate),
            n_peaks=peaks.n_peaks,
        ),
    )


def _short(value: float) -> float | None:
    """Four digits are more than these numbers mean; None where no peak was found."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
