"""The models that serve one reference between two moves: champion, challenger, shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from workers.batcher import Batch, Job
from workers.catalogue import Choice
from workers.outcome import Outcome
from workers.predictor import Predictor
from xas.structure import Sites, StructureBatch

_GOLDEN, _MIX, _STIR = (
    np.uint64(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def challenged(run: str, first: int, n_frames: int, share: float) -> NDArray[np.bool_]:
    """Which frames a challenger takes, (n_frames,): the same whenever and wherever it is asked.

    A frame that is taken at one share is taken at every larger one. The hash is splitmix64.
    """
    seed = np.uint64(int.from_bytes(blake2b(run.encode(), digest_size=8).digest(), "little"))
    x = seed + _GOLDEN * np.arange(first + 1, first + n_frames + 1, dtype=np.uint64)
    x = (x ^ (x >> np.uint64(30))) * _MIX
    x = (x ^ (x >> np.uint64(27))) * _STIR
    chosen: NDArray[np.bool_] = (x ^ (x >> np.uint64(31))) < np.float64(share) * 2.0**64
    return chosen


@dataclass(frozen=True, slots=True)
class Serving:
    """Predicts batches. A challenger that fails leaves its frames to the champion.

    ``faults``: why a challenger or shadow that was chosen is not here, or fails.
    """

    choice: Choice
    champion: Predictor
    challenger: Predictor | None = None
    shadow: Predictor | None = None
    faults: list[str] = field(default_factory=list)

    def predictors(self) -> list[Predictor]:
        """Those that rows may be made by."""
        return [self.champion, *([self.challenger] if self.challenger else [])]

    def names(self) -> list[str]:
        """All models at work, the champion first."""
        everybody = [*self.predictors(), *([self.shadow] if self.shadow else [])]
        return [p.manifest.reference for p in everybody]

    @property
    def identity(self) -> str:
        """Under what a result's models are published together."""
        return "+".join(p.identity for p in self.predictors())

    def predict(self, batch: Batch) -> Outcome:
        """The outcome of a batch; whatever the champion raises."""
        structures, sites = batch.joined
        taken = self._taken(batch.jobs)
        if self.challenger is None or not taken.any():
            return self._whole(structures, sites, batch.absorber)
        try:
            other = _part(self.challenger, structures, sites, batch.absorber, taken)
        except Exception as error:  # noqa: BLE001 - a model that is tried must cost no frame
            self._blame_challenger(error)
            return self._whole(structures, sites, batch.absorber)
        own = _part(self.champion, structures, sites, batch.absorber, ~taken)
        return Outcome.woven(own, other, taken)

    def _blame_challenger(self, error: Exception) -> None:
        if not self.faults:
            name = self.choice.challenger
            self.faults.append(f"challenger {name} fails: {type(error).__name__}: {error}")

    def _taken(self, jobs: Sequence[Job]) -> NDArray[np.bool_]:
        share = self.choice.share if self.challenger else 0.0
        blocks = [job.block for job in jobs]
        if share == 0.0:
            return np.zeros(sum(b.n_frames for b in blocks), dtype=np.bool_)
        return np.concatenate([challenged(b.run, b.first, b.n_frames, share) for b in blocks])

    def _whole(
        self, structures: StructureBatch, sites: Sites | None, absorber: str | None
    ) -> Outcome:
        prediction = self.champion.predict(structures, sites, absorber)
        return Outcome.of(prediction, len(structures), self.champion.identity)

    def alone(self, frame: Job) -> tuple[str, Predictor]:
        """The fixed reference and the predictor for a job of one frame."""
        if self.challenger is not None and self._taken([frame]).any():
            return self.choice.challenger, self.challenger
        return self.choice.champion, self.champion

    def made_by(self, predictor: Predictor, outcome: Outcome) -> Outcome:
        """The outcome of one frame, in the words in which ``predict`` tells who made it."""
        if predictor is self.champion or not outcome.model:
            return outcome
        taken = np.ones(outcome.n_frames, dtype=np.bool_)
        return replace(
            outcome, model=self.champion.identity, challenger=predictor.identity, taken=taken
        )


def _part(
    predictor: Predictor,
    structures: StructureBatch,
    sites: Sites | None,
    absorber: str | None,
    mask: NDArray[np.bool_],
) -> Outcome:
    """The outcome of some of the frames, counted among themselves."""
    frames = np.flatnonzero(mask)
    if sites is not None:
        own = mask[sites.structure]
        sites = Sites((np.cumsum(mask) - 1)[sites.structure[own]], sites.atom[own])
    prediction = predictor.predict(structures.take(frames), sites, absorber)
    return Outcome.of(prediction, len(frames), predictor.identity)
