"""What became of the frames of one block, on its way into a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream.codec import Array
from stream.messages import DEAD_LETTERED, PREDICTED, ResultBlock
from workers.predictor import Prediction
from xas.structure import Sites


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one frame has no spectrum: in words, the exception's class, how often it was tried."""

    reason: str
    error: str
    attempts: int = 1


def _no_sites() -> Sites:
    return Sites(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def _no_rows() -> NDArray[np.float32]:
    return np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Spectra of ``n_frames`` frames and the failures among them; arrays as in Prediction.

    ``model`` predicted them, but ``challenger`` those of ``taken`` (n_frames,) bool; None: none.
    featurise_s, infer_s: seconds in the descriptor and in the network, where they succeeded here.
    """

    n_frames: int
    model: str = ""
    challenger: str = ""
    taken: NDArray[np.bool_] | None = None
    sites: Sites = field(default_factory=_no_sites)
    intensity: NDArray[np.float32] = field(default_factory=_no_rows)
    errors: NDArray[np.float32] = field(default_factory=_no_rows)
    novelty: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    failures: Mapping[int, Failure] = field(default_factory=dict)
    featurise_s: float = 0.0
    infer_s: float = 0.0

    @property
    def identity(self) -> str:
        """Under what its models are published together; see ``Serving.identity``."""
        return "+".join(filter(None, (self.model, self.challenger)))

    @classmethod
    def of(cls, prediction: Prediction, n_frames: int, model: str) -> Outcome:
        """A prediction; structures that its checks refused are failures of their own."""
        return cls(
            n_frames=n_frames,
            model=model,
            sites=prediction.sites,
            intensity=prediction.intensity,
            errors=prediction.errors,
            novelty=prediction.novelty,
            failures={i: Failure(why, "BadStructure") for i, why in prediction.reasons.items()},
            featurise_s=prediction.featurise_s,
            infer_s=prediction.infer_s,
        )

    @classmethod
    def failed(cls, n_frames: int, failure: Failure) -> Outcome:
        """The same failure for every frame."""
        return cls(n_frames=n_frames, failures=dict.fromkeys(range(n_frames), failure))

    @classmethod
    def join(cls, parts: Sequence[Outcome]) -> Outcome:
        """Outcomes of consecutive frames end to end, of one model and its challenger at most."""
        starts = np.cumsum([0, *(p.n_frames for p in parts)])
        filled = [p for p in parts if p.model]
        placed = list(zip(parts, starts.tolist(), strict=False))
        failures = {i + start: f for p, start in placed for i, f in p.failures.items()}
        if not filled:  # nothing could be loaded or read: no spectra, not even their length
            return cls(n_frames=int(starts[-1]), failures=failures)
        structure = np.concatenate([p.sites.structure + start for p, start in placed])
        return cls(
            n_frames=int(starts[-1]),
            model=filled[0].model,
            challenger=max(p.challenger for p in parts),
            taken=_join_taken(parts),
            sites=Sites(structure, np.concatenate([p.sites.atom for p in parts])),
            intensity=np.concatenate([p.intensity for p in filled]),
            errors=np.concatenate([p.errors for p in filled]),
            novelty=np.concatenate([p.novelty for p in filled]),
            failures=failures,
            featurise_s=sum(p.featurise_s for p in parts),
            infer_s=sum(p.infer_s for p in parts),
        )

    @classmethod
    def woven(cls, own: Outcome, other: Outcome, taken: NDArray[np.bool_]) -> Outcome:
        """One outcome of the model's frames and of those that its challenger took."""
        parts = ((own, np.flatnonzero(~taken)), (other, np.flatnonzero(taken)))
        frame = np.concatenate([frames[p.sites.structure] for p, frames in parts])
        order = np.argsort(frame, kind="stable")

        def rows(name: str) -> NDArray[np.float32]:
            values: NDArray[np.float32] = np.concatenate([getattr(p, name) for p, _ in parts])
            return values[order]

        return cls(
            n_frames=len(taken),
            model=own.model,
            challenger=other.model,
            taken=taken,
            sites=Sites(frame[order], np.concatenate([p.sites.atom for p, _ in parts])[order]),
            intensity=rows("intensity"),
            errors=rows("errors"),
            novelty=rows("novelty"),
            failures={int(frames[i]): f for p, frames in parts for i, f in p.failures.items()},
            featurise_s=own.featurise_s + other.featurise_s,
            infer_s=own.infer_s + other.infer_s,
        )

    def split(self, sizes: Sequence[int]) -> list[Outcome]:
        """Cut into consecutive outcomes of the given numbers of frames; arrays are views."""
        ends = np.cumsum([0, *sizes])
        rows = np.searchsorted(self.sites.structure, ends)
        return [
            Outcome(
                n_frames=int(end - start),
                model=self.model,
                challenger=self.challenger,
                taken=None if self.taken is None else self.taken[start:end],
                sites=Sites(self.sites.structure[low:high] - start, self.sites.atom[low:high]),
                intensity=self.intensity[low:high],
                errors=self.errors[low:high],
                novelty=self.novelty[low:high],
                failures={i - int(start): f for i, f in self.failures.items() if start <= i < end},
            )
            for start, end, low, high in zip(ends, ends[1:], rows, rows[1:], strict=False)
        ]

    def result(
        self, run: str, first: int, t_pushed: NDArray[np.float64], now: float
    ) -> ResultBlock:
        """The message for the writer; t_pushed (n_frames,), empty where nobody could read it."""
        status = np.full(self.n_frames, PREDICTED, dtype=np.uint8)
        status[list(self.failures)] = DEAD_LETTERED
        return ResultBlock(
            run=run,
            first=first,
            n_frames=self.n_frames,
            model=self.model,
            challenger=self.challenger,
            taken=None if self.taken is None else Array.of(self.taken),
            t_predicted=now,
            ours=len(t_pushed) > 0,
            status=Array.of(status),
            t_pushed=Array.of(t_pushed),
            site_frame=Array.of(self.sites.structure.astype("<i4")),
            site_atom=Array.of(self.sites.atom.astype("<i4")),
            intensity=Array.of(self.intensity),
            errors=Array.of(self.errors),
            novelty=Array.of(self.novelty),
            reasons={i: f.reason for i, f in self.failures.items()},
        )


def _join_taken(parts: Sequence[Outcome]) -> NDArray[np.bool_] | None:
    if all(p.taken is None for p in parts):
        return None
    none = [np.zeros(p.n_frames, np.bool_) if p.taken is None else p.taken for p in parts]
    return np.concatenate(none)
