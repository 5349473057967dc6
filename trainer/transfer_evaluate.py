"""How good a transfer is on spectra that it has not seen."""

from __future__ import annotations

import numpy as np

from trainer.archive import Labels, grouped_folds
from trainer.evaluate import OutOfFold
from trainer.recipe import Recipe
from trainer.transfer import Known, fit_transfer


def cross_validate_transfer(recipe: Recipe, labels: Labels, known: Known) -> OutOfFold:
    """Once a fold, learn from the other folds. Its error bars do not grow with the novelty."""
    fold = grouped_folds(labels.groups, recipe.folds, recipe.seed)
    mean = np.empty_like(labels.intensity)
    for k in range(recipe.folds):
        test = fold == k
        learned = known.take(~test), labels.intensity[~test], labels.weights[~test]
        mean[test] = fit_transfer(*learned).predict(known.take(test))
    n = len(labels)
    nothing = np.zeros_like(mean), np.ones(n)
    return OutOfFold(n, np.arange(n), fold, mean, *nothing, labels.intensity)
