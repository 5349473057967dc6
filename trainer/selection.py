"""Which features suffice: four ways of choosing, by scikit-learn, on a linear stand-in.

Fitting the network anew for each choice would take days; a ridge regression of the spectra's first
principal components on standardised features takes milliseconds. What it needs is what is linear in
the features: a hint for a descriptor, not a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trainer.importance import require_sklearn, untold

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Names = tuple[str, ...]
Tell = Callable[[int, int], None]

SMALLEST_VARIANCE = 1e-6
COMPONENTS = 8
CANDIDATES = 40
"""So many features go on to sequential selection, which tries each of them again and again."""
RIDGE = 10.0
FOLDS = 3


class Chosen(Struct, frozen=True, kw_only=True):
    """What one way of choosing kept of ``n_of`` features; ``r2``: of spectra held out by group, by
    ridge regression on these features alone, with the variance of the spectra for a unit."""

    way: str
    n_of: int
    n_kept: int
    r2: float
    names: Names


def select(
    features: Array,
    spectra: Array,
    groups: NDArray[np.str_],
    names: Names,
    *,
    keep: int = 10,
    tell: Tell = untold,
) -> list[Chosen]:
    """Variance filter, select-from-model, then forward and backward selection of ``keep`` features.

    features (n, n_features), spectra (n, n_energy), groups (n,) never on both sides of a fold.
    Each way starts from what the one before it kept; the sequential ones both from the same.
    """
    require_sklearn()
    target = _components(spectra)
    everything: Indices = np.arange(features.shape[1])
    score = partial(_scored, features=features, target=target, groups=groups, names=names)
    tell(0, 4)
    varying = everything[_by_variance(features)]
    tell(1, 4)
    strong = varying[_from_model(features[:, varying], target)]
    few = {}
    for step, direction in enumerate(("forward", "backward")):
        tell(2 + step, 4)
        few[direction] = strong[_sequential(features[:, strong], target, groups, direction, keep)]
    tell(4, 4)
    return [
        score("all features", everything, everything),
        score("variance filter", everything, varying),
        score("select from model", varying, strong),
        score("forward selection", strong, few["forward"]),
        score("backward selection", strong, few["backward"]),
    ]


def _components(spectra: Array) -> Array:
    """Scores of the first principal components, in the unit of the spectra."""
    from sklearn.decomposition import PCA

    n = min(COMPONENTS, *spectra.shape)
    scores: Array = PCA(n, svd_solver="full").fit_transform(spectra)
    return scores


def _by_variance(features: Array) -> Indices:
    """Those that vary at all."""
    from sklearn.feature_selection import VarianceThreshold

    kept: Indices = VarianceThreshold(SMALLEST_VARIANCE).fit(features).get_support(indices=True)
    return kept


def _from_model(features: Array, target: Array) -> Indices:
    """Those of the largest coefficients."""
    from sklearn.feature_selection import SelectFromModel
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    most = min(CANDIDATES, features.shape[1])
    found = SelectFromModel(Ridge(RIDGE), threshold=-np.inf, max_features=most, norm_order=2)
    found.fit(StandardScaler().fit_transform(features), target)
    kept: Indices = found.get_support(indices=True)
    return kept


def _sequential(
    features: Array, target: Array, groups: NDArray[np.str_], direction: str, keep: int
) -> Indices:
    """One feature more, or fewer, at a time: the one that helps most, or is missed least."""
    from sklearn.feature_selection import SequentialFeatureSelector

    found = SequentialFeatureSelector(
        _stand_in(),
        n_features_to_select=min(keep, features.shape[1] - 1),
        direction=direction,
        scoring=_r2,
        cv=_folds(features, groups),
    )
    kept: Indices = found.fit(features, target).get_support(indices=True)
    return kept


def _scored(
    way: str,
    before: Indices,
    kept: Indices,
    features: Array,
    target: Array,
    groups: NDArray[np.str_],
    names: Names,
) -> Chosen:
    from sklearn.model_selection import cross_val_score

    x = features[:, kept]
    scores = cross_val_score(_stand_in(), x, target, cv=_folds(x, groups), scoring=_r2)
    return Chosen(
        way=way,
        n_of=len(before),
        n_kept=len(kept),
        r2=float(scores.mean()),
        names=tuple(names[i] for i in kept),
    )


def _stand_in() -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(RIDGE))


def _r2(model: Any, features: Array, target: Array) -> float:
    """Components count by their variance, as they do in a spectrum."""
    left = ((model.predict(features) - target) ** 2).sum()
    return 1.0 - float(left / ((target - target.mean(axis=0)) ** 2).sum())


def _folds(features: Array, groups: NDArray[np.str_]) -> list[tuple[Indices, Indices]]:
    from sklearn.model_selection import GroupKFold

    return list(GroupKFold(FOLDS).split(features, groups=groups))
