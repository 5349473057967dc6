"""How good a recipe is on spectra that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.manifest import Coverage, Measures, PeakErrors, PercentErrors
from trainer.archive import Labels, grouped_folds
from trainer.calibrate import (
    LEVELS,
    NOVELTY_QUANTILE,
    ErrorModel,
    conformal_reach,
    cross_fitted_sigma,
    evenly,
    fit_error_model,
    smoothed_variance,
    within_reach,
)
from trainer.coverage import coverage_rows
from trainer.fit import Lesson, fit_each, predict
from trainer.networks import DISTANCE_FLOOR, Ensemble
from trainer.predictor import novelty_of
from trainer.progress import Clock
from trainer.recipe import Recipe
from xas.edges import edge_energy_ev
from xas.errors import BadLabels
from xas.measures import peak_agreement, percentage_error, summarise
from xas.spectrum import broaden

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What was said about each label by ensembles that had not seen its group.

    Rows are the labels in their order, once for each repeat of the cross-validation.

    n_labels  rows of one repeat
    label     (n_rows,) int64, which label a row is about
    fold      (n_rows,) int64, in which fold it was held out; other repeats have other folds
    mean      (n_rows, n_energy) float64
    variance  (n_rows, n_energy) float64, of the members, smoothed over energy; not calibrated
    distance  (n_rows,) float64, to the training data of the other folds; not calibrated
    target    (n_rows, n_energy) float64, what is true
    """

    n_labels: int
    label: NDArray[np.int64]
    fold: NDArray[np.int64]
    mean: Array
    variance: Array
    distance: Array
    target: Array

    @property
    def novelty(self) -> Array:
        """(n_rows,) float64: the distance in units of its 99th percentile."""
        return np.sqrt((self.distance / self.novelty_unit) ** 2 + DISTANCE_FLOOR**2)

    @property
    def novelty_unit(self) -> float:
        """The distance that 99 % of the held-out labels stay below."""
        return float(np.quantile(self.distance, NOVELTY_QUANTILE))

    @property
    def repeats(self) -> list[slice]:
        """The rows of each repeat."""
        starts = range(0, len(self.label), self.n_labels)
        return [slice(start, start + self.n_labels) for start in starts]

    def in_proportion(self, weights: Array) -> OutOfFold:
        """Each label as often as its weight says; as it is where all weights are alike.

        weights  (n_labels,). What is calibrated or measured on these rows is weighted: labels that
                 are trusted little neither widen the error bars nor count much in a median.

        Raises BadLabels where so few labels have all the weight that nothing can be calibrated.
        """
        drawn = evenly(weights, self.n_labels)
        rows = np.concatenate([np.arange(len(self.label))[part][drawn] for part in self.repeats])
        if len(np.unique(self.fold[rows[: self.n_labels]])) < 2:
            raise BadLabels(
                "nearly all weight lies on labels of one fold: error bars cannot be calibrated; "
                "give weights that are nearer to each other"
            )
        return OutOfFold(
            self.n_labels,
            self.label[rows],
            self.fold[rows],
            self.mean[rows],
            self.variance[rows],
            self.distance[rows],
            self.target[rows],
        )

    def error_model(self, energy: Array) -> ErrorModel:
        """Calibrated on all of these predictions."""
        return fit_error_model(self.target - self.mean, self.variance, self.novelty, energy)

    def sigma(self, energy: Array) -> Array:
        """Error bars whose calibration had not seen the fold either, (n_rows, n_energy)."""
        residual, novelty = self.target - self.mean, self.novelty
        return np.concatenate(
            [
                cross_fitted_sigma(
                    residual[rows], self.variance[rows], novelty[rows], energy, self.fold[rows]
                )
                for rows in self.repeats
            ]
        )

    def within(self, sigma: Array) -> dict[str, Flags]:
        """For each interval, which points (n_rows, n_energy) it holds; reach from other folds."""
        pull = np.abs(self.target - self.mean) / sigma
        parts = [within_reach(pull[rows], self.fold[rows]) for rows in self.repeats]
        return {level: np.concatenate([part[level] for part in parts]) for level in LEVELS}

    def coverage(self, energy: Array, edge_ev: float, sigma: Array) -> tuple[Coverage, ...]:
        """How often the intervals hold, over all, by energy and by novelty."""
        return coverage_rows(energy - edge_ev, self.novelty, self.within(sigma))

    def figures(self, model: ErrorModel, sigma: Array) -> dict[str, float]:
        """What the calibration found; ``interval_95``: how many sigma really hold 95.45 %."""
        reach = conformal_reach(np.abs(self.target - self.mean) / sigma)
        figures = {
            "factor": model.factor,
            "floor_median": float(np.median(model.floor)),
            "growth": model.growth,
            "novelty_unit": self.novelty_unit,
        }
        figures |= {f"interval_{level}": value for level, value in reach.items()}
        return {name: float(f"{value:.4g}") for name, value in figures.items()}


def cross_validate(recipe: Recipe, labels: Labels, features: Array, clock: Clock) -> OutOfFold:
    """Fit once a fold on the other folds, as the final model is fitted on all of them."""
    clock.stage = f"cross-validation in {recipe.folds} folds"
    clock.stage += f", {recipe.repeats} times" if recipe.repeats > 1 else ""
    dealt = [
        grouped_folds(labels.groups, recipe.folds, recipe.seed + r) for r in range(recipe.repeats)
    ]
    sides = [fold == k for fold in dealt for k in range(recipe.folds)]
    lessons = [
        Lesson(
            features[~held_out],
            labels.intensity[~held_out],
            recipe.seed + 1 + k,
            labels.weights[~held_out],
        )
        for k, held_out in enumerate(sides)
    ]
    ensembles = fit_each(recipe, lessons, clock.epoch, clock.checkpoints)
    found = _empty(labels, np.concatenate([k * recipe.folds + f for k, f in enumerate(dealt)]))
    for k, (ensemble, lesson) in enumerate(zip(ensembles, lessons, strict=True)):
        rows = np.flatnonzero(found.fold == k)
        asked = features[found.label[rows]]
        members, shares = predict(ensemble, asked), ensemble.shares.numpy()
        found.mean[rows] = np.tensordot(shares, members, 1)
        found.variance[rows] = smoothed_variance(members, shares, labels.energy)
        found.distance[rows] = _distance(ensemble, lesson.features, asked)
    return found


def _empty(labels: Labels, fold: NDArray[np.int64]) -> OutOfFold:
    n = len(labels)
    target = np.tile(labels.intensity, (len(fold) // n, 1))
    label = np.arange(len(fold)) % n
    empty = np.empty_like(target), np.empty_like(target), np.empty(len(fold))
    return OutOfFold(n, label, fold, *empty, target)


def _distance(ensemble: Ensemble, known: Array, asked: Array) -> Array:
    novelty = novelty_of(ensemble, known)
    rows = ensemble.scaled(torch.from_numpy(asked.astype(np.float32)))
    with torch.no_grad():
        parts = [novelty(part).numpy() for part in torch.split(rows, 512)]
    return np.concatenate(parts).astype(np.float64)


def measures(
    model: str, split: str, labels: Labels, edge: str, found: OutOfFold, sigma: Array
) -> tuple[Measures, Measures]:
    """The two rows of the table: the spectra as they are, and after the arctangent broadening.

    sigma  (n_rows, n_energy), out of fold
    """
    plain = _row(labels.energy, found.mean, found.target)
    edge_ev = edge_energy_ev(labels.element, edge)
    broad = _row(
        labels.energy,
        broaden(labels.energy, found.mean, edge_ev),
        broaden(labels.energy, found.target, edge_ev),
    )
    covered = {level: round(float(f.mean()), 4) for level, f in found.within(sigma).items()}
    common: dict[str, Any] = {"model": model, "split": split, "n_spectra": len(found.label)}
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
