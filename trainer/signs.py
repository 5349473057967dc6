"""In which ways a batch of labels differs from what the champion says of them.

All are medians or ranks over the batch: a few odd labels neither hide them nor make them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.prediction import Prediction

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_SHIFT_EV, SHIFT_STEP_EV = 10.0, 0.25
SMALLEST = 1e-12
HELPS = 0.8
"""A correction counts where it leaves less than this part of the median error."""
COMMON = 0.1
"""Ratios of areas that differ by less, in their logarithm, are one factor."""
MOST_COMPARED, MOST_MOVED, PAIRS = 500, 100, 8
"""Predictions that each label is compared with, and labels that a shift is found from, evenly
chosen: a rank and a median need no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """Of a batch of n labels.

    scale      median over labels of the ratio of areas, label to prediction: one unit or
               normalisation is one factor for all
    shift_ev   by how much all predictions must be moved to fit best
    left       (n,) mean |label - prediction| in units of the mean error bar, the predictions scaled
               and moved so; 0 where the champion has no error bars
    misplaced  (n,) the part of the others' predictions that are nearer to a label than its own. A
               shuffled spectrum has one half; a new chemistry has little, though its errors are
               large
    residual   (n, n_energy) label - scaled and moved prediction
    alike      typical size of these errors by the typical distance between two predictions. Below
               about 1 the predictions are far enough apart for ``misplaced`` to mean something:
               frames of one molecule are not
    """

    scale: float
    shift_ev: float
    left: Array
    misplaced: Array
    residual: Array
    alike: float

    def pattern(self, who: Mask) -> float:
        """The part of the size of these labels' errors that is the same for all (their median).

        Falls as 1 / sqrt(n) for errors that are independent; another theory errs in the same way
        everywhere.
        """
        errors = self.residual[who]
        common = np.abs(np.median(errors, axis=0)).mean()
        return float(common / max(float(np.abs(errors).mean()), SMALLEST))


def signs_of(energy: Array, target: Array, said: Prediction) -> Signs:
    """Of labels target (n, n_energy) on energy (n_energy,) eV.

    A factor or a shift is one only where it takes away a good part of the errors; else it is what
    fits noise best.
    """
    shift = best_shift(energy, target / _scale(target, said.mean), said.mean)
    inner = (energy >= energy[0] + abs(shift)) & (energy <= energy[-1] - abs(shift))
    there = moved(energy, said.mean, shift)[:, inner]
    wanted = target[:, inner]
    scale = _scale(wanted, there)
    if not _helps(wanted / scale - there, wanted - there):
        scale = 1.0
    residual = wanted / scale - there
    bars = said.std[:, inner].mean(axis=1)
    known = bars > 0.0
    return Signs(
        scale=scale,
        shift_ev=shift,
        left=np.where(known, np.abs(residual).mean(axis=1) / np.where(known, bars, 1.0), 0.0),
        misplaced=misplaced(wanted / scale, there),
        residual=residual,
        alike=_typical(residual) / max(_apart(there), SMALLEST),
    )


def _scale(target: Array, predicted: Array) -> float:
    """The typical ratio of areas; 1 where most labels have another one: no factor is in common."""
    areas = np.maximum(np.abs(predicted.sum(axis=1)), SMALLEST)
    ratio = np.maximum(target.sum(axis=1) / areas, SMALLEST)
    scale = float(np.median(ratio))
    common = np.abs(np.log(ratio / scale)) < COMMON
    return scale if common.mean() >= 0.5 else 1.0


def _helps(residual: Array, before: Array) -> bool:
    return _typical(residual) < HELPS * _typical(before)


def _typical(residual: Array) -> float:
    return float(np.median(np.abs(residual).mean(axis=1)))


def _apart(predicted: Array) -> float:
    """Median over pairs of predictions of the mean distance between the two."""
    rows = predicted[_some(len(predicted), MOST_MOVED)]
    order = range(1, min(len(rows), PAIRS))
    away = [np.abs(rows - np.roll(rows, k, axis=0)).mean(axis=1) for k in order]
    return float(np.median(away)) if away else 0.0


def best_shift(energy: Array, target: Array, predicted: Array) -> float:
    """The shift of all predictions, eV, by which the median error becomes smallest; 0 where that
    helps little."""
    reach = min(MOST_SHIFT_EV, 0.2 * float(energy[-1] - energy[0]))
    steps = int(reach / SHIFT_STEP_EV)
    inner = (energy >= energy[0] + reach) & (energy <= energy[-1] - reach)
    shifts = sorted((SHIFT_STEP_EV * k for k in range(-steps, steps + 1)), key=abs)
    some = _some(len(target), MOST_MOVED)
    predicted, wanted = predicted[some], target[some][:, inner]
    errors = [_typical(moved(energy, predicted, s)[:, inner] - wanted) for s in shifts]
    best = int(np.argmin(errors))
    return float(shifts[best]) if errors[best] < HELPS * errors[0] else 0.0


def moved(energy: Array, rows: Array, shift_ev: float) -> Array:
    """Spectra (n, n_energy) moved up in energy; beyond its ends a spectrum keeps its last value."""
    if not shift_ev:
        return rows
    source = energy - shift_ev
    right = np.clip(np.searchsorted(energy, source), 1, len(energy) - 1)
    part = np.clip((source - energy[right - 1]) / np.diff(energy)[right - 1], 0.0, 1.0)
    there: Array = rows[:, right - 1] * (1.0 - part) + rows[:, right] * part
    return there


def misplaced(target: Array, predicted: Array) -> Array:
    """(n,) the part of the other predictions that are nearer to each label than its own."""
    n = len(target)
    others = _some(n, MOST_COMPARED)
    own = np.abs(target - predicted).sum(axis=1)
    part = np.zeros(n)
    for i in range(n):
        compared = others[others != i]
        if len(compared):
            away = np.abs(predicted[compared] - target[i]).sum(axis=1)
            part[i] = float((away < own[i]).mean())
    return part


def _some(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n indices, evenly chosen."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
