"""Frames of a stream that are worth a label, however many stream by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.requests import Ground, nearest, typical_distance
from xas.structure import StructureBatch

Array = NDArray[np.float64]

MOST = 2048
WIDER = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One absorber of one frame, and how many it stands for.

    structure  a batch of one, which holds no other; features (n_features,) float32
    novelty, uncertainty  of the champion's prediction; mass: sites that are as good as this one
    """

    structure: StructureBatch
    atom: int
    name: str
    features: NDArray[np.float32]
    novelty: float
    uncertainty: float
    mass: float = 1.0


class Pool:
    """At most ``most`` candidates, farther than ``apart`` from each other and from what is known.

    One that comes near another is counted there. Where they are too many, near means farther, until
    they are not: the doubling of Charikar, Chekuri, Feder and Motwani, STOC (1997), section 2.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.kept: list[Candidate] = []
        self.apart = 0.0
        self._points: Array = np.zeros((0, 0))

    @property
    def points(self) -> Array:
        """(n, k): where the candidates lie."""
        return self._points[: len(self.kept)]

    def settle(self, candidates: Sequence[Candidate], ground: Ground) -> None:
        """Hold these instead, by distances as they are taken now."""
        self.kept, self.apart = [], ground.least
        self._points = np.empty((self.most + 1, ground.taken.shape[1]))
        self.add(candidates, ground)

    def add(self, candidates: Sequence[Candidate], ground: Ground) -> None:
        """Count some more, without those that are near to what is labelled or asked for."""
        if not candidates:
            return
        points = ground.points(np.array([c.features for c in candidates], dtype=np.float64))
        far = nearest(points, ground.taken) > ground.least
        for i in np.flatnonzero(far):
            self._join(candidates[int(i)], points[i])

    def _join(self, candidate: Candidate, point: Array) -> None:
        away = ((self.points - point) ** 2).sum(axis=1)
        if len(away) and away[i := int(away.argmin())] <= self.apart**2:
            here = self.kept[i]
            self.kept[i] = replace(here, mass=here.mass + candidate.mass)
            return
        self._points[len(self.kept)] = point
        self.kept.append(candidate)
        while len(self.kept) > self.most:
            self._widen()

    def _widen(self) -> None:
        self.apart = WIDER * (self.apart or typical_distance(self.points))
        self._rejoin(list(zip(self.kept, self.points.copy(), strict=True)))

    def _rejoin(self, all_of_them: Iterable[tuple[Candidate, Array]]) -> None:
        self.kept = []
        for candidate, point in all_of_them:
            self._join(candidate, point)
