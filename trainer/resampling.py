"""Means over labels with what they would be for other draws of the same groups of labels.

Labels of one group (a formula, a material) are alike: they are drawn together. Two models are
compared on the same draws, so that what is hard for both does not count. Efron and Tibshirani, An
Introduction to the Bootstrap (1993), ch. 8 (paired data, clusters).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BLOCK = 256  # draws at a time: (256, n_groups) counts


@dataclass(frozen=True, slots=True)
class Resampled:
    """Means of k quantities: ``mean`` (k,), and ``drawn`` (n_draws, k), one row a draw of groups.

    n_groups  (k,) in which the quantity is known at all
    """

    mean: Array
    drawn: Array
    n_groups: NDArray[np.int64]

    @property
    def standard_error(self) -> Array:
        """(k,) spread over the draws."""
        error: Array = self.drawn.std(axis=0)
        return error

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """Central, of each quantity by itself: percentiles of the draws."""
        tail = 0.5 * (1.0 - confidence)
        low, high = np.quantile(self.drawn, [tail, 1.0 - tail], axis=0)
        return low, high

    def joint_reach(self, confidence: float) -> float:
        """How many standard errors to either side hold *all* k means at once in such a part of the
        draws: the quantile of the largest studentised deviation.

        Westfall and Young, Resampling-Based Multiple Testing (1993), single-step maxT.
        """
        error = np.maximum(self.standard_error, 1e-12)
        largest = np.abs((self.drawn - self.mean) / error).max(axis=1, initial=0.0)
        return float(np.quantile(largest, confidence))


def resample(
    values: Array, weights: Array, groups: NDArray[np.str_], draws: int, seed: int
) -> Resampled:
    """Means over labels of ``values`` (n, k), in ``draws`` draws of groups.

    weights  (n, k): of each label where its value is known, 0 where it is not

    Each draw takes as many groups as there are, with replacement. A quantity that a draw knows
    nothing of has its mean there.
    """
    member = np.unique(groups, return_inverse=True)[1]
    n = int(member.max()) + 1
    sums, totals = (np.zeros((n, values.shape[1])) for _ in range(2))
    np.add.at(sums, member, weights * np.where(weights > 0.0, values, 0.0))
    np.add.at(totals, member, weights)
    mean = _ratio(sums.sum(axis=0), totals.sum(axis=0), np.zeros(values.shape[1]))
    random = np.random.default_rng(seed)
    drawn = np.empty((draws, values.shape[1]))
    for first in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - first)
        times = random.multinomial(n, np.full(n, 1.0 / n), size=size).astype(np.float64)
        drawn[first : first + size] = _ratio(times @ sums, times @ totals, mean)
    return Resampled(mean, drawn, (totals > 0.0).sum(axis=0))


def _ratio(sums: Array, totals: Array, otherwise: Array) -> Array:
    ratio: Array = np.where(totals > 0.0, sums / np.where(totals > 0.0, totals, 1.0), otherwise)
    return ratio
