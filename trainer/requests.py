"""Which frames to ask labels for: what the model knows least, and none of it twice.

Greedy farthest points, as in Gonzalez, Theor. Comput. Sci. 38, 293 (1985): each request is the
frame of the largest distance from all that is labelled or asked for, times what a label is worth
there. Arrays in, indices out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.principal import principal_axes, standard_scale

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

COMPONENTS = 32
CLIP = 8.0  # standard deviations: one feature that never varied must not be all of the distance
HOUR_S = 3600.0
BLOCK = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """When a frame is worth a label.

    novelty      from which on it is asked for, in units of the 99th percentile of held-out labels
    uncertainty  or from which on: the error bar's area, as a part of the spectrum's
    apart        requests are farther than this from each other and from every label, in units of
                 the typical distance between two neighbouring labels
    per_hour     at most so many
    """

    novelty: float = 1.0
    uncertainty: float = 0.05
    apart: float = 0.25
    per_hour: int = 100


@dataclass(frozen=True, slots=True)
class Space:
    """Descriptor space as the labels span it: standardised features, principal components.

    centre, scale (n_features,), axes (n_features, k), k at most COMPONENTS.
    """

    centre: Array
    scale: Array
    axes: Array

    @classmethod
    def of(cls, features: Array) -> Space:
        """Spanned by the features (n, n_features) of the labels."""
        centre, scale, _ = standard_scale(features)
        rows = np.clip((features - centre) * scale, -CLIP, CLIP)
        return cls(centre, scale, principal_axes(rows)[1][:, :COMPONENTS])

    def points(self, features: Array) -> Array:
        """Where features (n, n_features) lie: (n, k + 1); the last is how far outside of the axes.

        Two frames that are new in different ways may count as alike there: a label of one of them
        widens the axes, and then they do not.
        """
        rows = np.clip((features - self.centre) * self.scale, -CLIP, CLIP)
        inside: Array = rows @ self.axes
        outside = np.sqrt(np.maximum((rows**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0))
        return np.column_stack([inside, outside])


def uncertainty_of(mean: NDArray[np.floating], std: NDArray[np.floating]) -> Array:
    """(n,) the area of error bars by that of spectra, both (n, n_energy)."""
    area = np.abs(mean.astype(np.float64)).sum(axis=1)
    part: Array = std.astype(np.float64).sum(axis=1) / np.maximum(area, 1e-12)
    return part


def choose(
    features: Array,
    novelty: Array,
    uncertainty: Array,
    *,
    known: Array,
    asked: Array | None = None,
    most: int,
    rules: RequestRules | None = None,
) -> Indices:
    """Frames to ask labels for, best first: indices (at most ``most``,) into n frames.

    features (n, n_features); novelty, uncertainty (n,); known (n_labels, n_features), of the
    archive's labels, at least one; asked (n_asked, n_features), of requests that wait. Worth is
    novelty or uncertainty, whichever passes its rule by more. Frames that are not finite are never
    chosen. The same input gives the same answer.
    """
    rules = rules or RequestRules()
    worth = np.maximum(novelty / rules.novelty, uncertainty / rules.uncertainty)
    wanted = np.flatnonzero((worth >= 1.0) & np.isfinite(worth) & np.isfinite(features).all(axis=1))
    if most <= 0 or not len(wanted):
        return np.zeros(0, dtype=np.int64)
    space = Space.of(known)
    labelled = space.points(known)
    taken = labelled if asked is None else np.vstack([labelled, space.points(asked)])
    least = rules.apart * typical_distance(labelled)
    return wanted[_farthest(space.points(features[wanted]), worth[wanted], taken, most, least)]


def _farthest(points: Array, worth: Array, taken: Array, most: int, least: float) -> Indices:
    """Indices of points, greedily: far from what is taken, and worth it."""
    away = nearest(points, taken)
    chosen: list[int] = []
    while len(chosen) < min(most, len(points)):
        score = np.where(away > least, away * worth, -1.0)
        best = int(np.argmax(score))
        if score[best] < 0.0:
            break
        chosen.append(best)
        away = np.minimum(away, np.sqrt(((points - points[best]) ** 2).sum(axis=1)))
    return np.array(chosen, dtype=np.int64)


def nearest(points: Array, others: Array) -> Array:
    """(n,) distance from each of points (n, k) to the nearest of others (m, k), in blocks."""
    square = (others**2).sum(axis=1)
    parts = [
        (square - 2.0 * (block @ others.T)).min(axis=1) + (block**2).sum(axis=1)
        for block in np.array_split(points, 1 + len(points) // BLOCK)
    ]
    distance: Array = np.sqrt(np.maximum(np.concatenate(parts), 0.0))
    return distance


def typical_distance(labelled: Array) -> float:
    """Median over labels (n, k) of the distance to the nearest other one; 0 of a single label."""
    some = labelled[: 2 * BLOCK]
    if len(some) < 2:
        return 0.0
    square = (some**2).sum(axis=1)
    away = square[:, None] - 2.0 * (some @ some.T) + square
    np.fill_diagonal(away, np.inf)
    return float(np.median(np.sqrt(np.maximum(away.min(axis=1), 0.0))))


def allowance(t_asked: Array, now: float, per_hour: int) -> int:
    """How many requests may be made now, after those made at t_asked (n,), s since 1970.

    A moment in the future, of a clock that was set back, counts as of this hour.
    """
    return max(0, per_hour - int((np.asarray(t_asked) > now - HOUR_S).sum()))
