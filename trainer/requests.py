"""Which frames to ask labels for: of what the model knows too little, what most others resemble.

Greedy facility location: each request is the frame that brings all others nearest to a label, which
is at least 63 % of what the best set of so many could do. Nemhauser, Wolsey and Fisher, Math.
Program. 14, 265 (1978). Arrays in, indices out.
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


def worth_of(novelty: Array, uncertainty: Array, rules: RequestRules) -> Array:
    """(n,) how far novelty or uncertainty, both (n,), go by their rules; from 1 on it is wanted."""
    worth = np.fmax(novelty / rules.novelty, uncertainty / rules.uncertainty)  # a model's NaN: none
    return np.where(np.isfinite(worth), worth, 0.0)


@dataclass(frozen=True, slots=True)
class Ground:
    """What is labelled or asked for: taken (n, k) in a space, and what is nearer than ``least``."""

    space: Space
    taken: Array
    least: float

    @classmethod
    def of(cls, labelled: Array, asked: Array, rules: RequestRules) -> Ground:
        """Of the features of labels, at least one, and of requests (n_asked, n_features)."""
        space = Space.of(labelled)
        points = space.points(labelled)
        taken = np.vstack([points, space.points(asked)])
        return cls(space, taken, rules.apart * typical_distance(points))

    def points(self, features: Array) -> Array:
        """Where features (n, n_features) lie, (n, k)."""
        return self.space.points(features)


def choose(points: Array, mass: Array, ground: Ground, most: int) -> Indices:
    """Which of the candidates to ask for, best first: indices (at most ``most``,) of points (n, k).

    mass (n,): how many frames each stands for. The best is the one after which the frames, all
    together, have the least way to their nearest label; then the next. None is nearer than
    ``ground.least`` to what is taken, or to another. The same input gives the same answer. Takes
    8 n^2 bytes.
    """
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    across = distances(points, points)
    np.fill_diagonal(across, 0.0)  # to the last bit
    way = nearest(points, ground.taken)
    gain = np.array([mass @ np.maximum(way - row, 0.0) for row in across])
    chosen: list[int] = []
    while len(chosen) < most:
        gain[way <= ground.least] = -1.0
        best = _best(gain, across, way, mass)
        if gain[best] < 0.0:
            break
        chosen.append(best)
        way = np.minimum(way, across[best])
    return np.array(chosen, dtype=np.int64)


def _best(gain: Array, across: Array, way: Array, mass: Array) -> int:
    """The candidate of the largest gain; as gains only fall, few are brought up to date for it.

    Minoux, in: Optimization Techniques, Springer (1978), p. 234.
    """
    while True:
        best = int(np.argmax(gain))
        if gain[best] < 0.0:
            return best
        now = float(mass @ np.maximum(way - across[best], 0.0))
        if now >= gain[best]:
            return best
        gain[best] = now


def distances(points: Array, others: Array) -> Array:
    """(n, m) between points (n, k) and others (m, k)."""
    square = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    found: Array = np.sqrt(np.maximum(square - 2.0 * (points @ others.T), 0.0))
    return found


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
