"""A run over time in bounded memory: novelty of every frame, and spectra of some of them.

Both take what they are given in any order and more than once: the tail brings frames early and
loses some, the file brings all of them later.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 1024
ROWS = 256
MISSING = 65535  # in a packed image


@dataclass(slots=True)
class NoveltyTrack:
    """The largest novelty in each of at most BINS bins of ``width`` frames; no peak is lost."""

    width: int = 1
    end: int = 0
    largest: NDArray[np.float32] = field(
        default_factory=lambda: np.full(BINS, np.nan, dtype=np.float32)
    )

    def put(self, index: NDArray[np.int64], novelty: NDArray[np.float32]) -> None:
        """Frames (n,) and their novelty (n,), NaN where a frame has none."""
        if not len(index):
            return
        self.end = max(self.end, int(index.max()) + 1)
        while self.end > BINS * self.width:
            halves = np.fmax(self.largest[::2], self.largest[1::2])
            self.largest = np.concatenate([halves, np.full(BINS // 2, np.nan, dtype=np.float32)])
            self.width *= 2
        np.fmax.at(self.largest, index // self.width, novelty)

    def plain(self) -> dict[str, Any]:
        """For the page."""
        used = -(-self.end // self.width)
        return {"width": self.width, "largest": rounded(self.largest[:used])}


class Waterfall:
    """Every ``step``-th spectrum of a run, at most ROWS of them: a full one forgets each other.

    intensity  (ROWS, n_energy) float32, NaN where not known (yet)
    uncertainty (ROWS,) float64: 100 sum(errors) / sum(intensity), percent
    """

    def __init__(self, n_energy: int, *, first: int = 0, step: int = 1) -> None:
        self.first, self.step, self.end = first, step, first
        self.intensity = np.full((ROWS, n_energy), np.nan, dtype=np.float32)
        self.uncertainty = np.full(ROWS, np.nan)
        self._known = np.zeros(ROWS, dtype=bool)

    def reach(self, end: int) -> None:
        """Make room for frames below ``end``."""
        self.end = max(self.end, end)
        while self.end - self.first > ROWS * self.step:
            self.step *= 2
            for column in (self.intensity, self.uncertainty, self._known):
                column[: ROWS // 2] = column[::2].copy()
            self.intensity[ROWS // 2 :] = np.nan
            self.uncertainty[ROWS // 2 :] = np.nan
            self._known[ROWS // 2 :] = False

    def put(
        self,
        index: NDArray[np.int64],
        intensity: NDArray[np.float32],
        errors: NDArray[np.float32],
    ) -> None:
        """Frames (n,), with (n, n_energy) each; those between the steps are passed over."""
        kept = (index - self.first) % self.step == 0
        slots = (index[kept] - self.first) // self.step
        self.intensity[slots] = intensity[kept]
        self.uncertainty[slots] = uncertainty_percent(intensity[kept], errors[kept])
        self._known[slots] = True

    def missing(self, end: int) -> NDArray[np.int64]:
        """The frames below ``end`` that belong here and are not known."""
        slots = np.flatnonzero(~self._known[: max(0, -(-(end - self.first) // self.step))])
        return self.first + self.step * slots

    @property
    def rows(self) -> int:
        """Rows in use."""
        return -(-(self.end - self.first) // self.step)

    def plain(self) -> dict[str, Any]:
        """For the page; the image as 16-bit numbers between ``low`` and ``high``."""
        image = self.intensity[: self.rows]
        low, high = _range(image)
        scaled = (image - low) / (high - low) * (MISSING - 1)
        packed = np.where(np.isfinite(scaled), np.rint(scaled), MISSING).astype("<u2")
        return {
            "first": self.first,
            "step": self.step,
            "end": self.end,
            "rows": len(image),
            "low": low,
            "high": high,
            "image": base64.b64encode(packed.tobytes()).decode(),
            "uncertainty": rounded(self.uncertainty[: self.rows]),
        }


def _range(image: NDArray[np.float32]) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return low, high if high > low else low + 1.0


def uncertainty_percent(
    intensity: NDArray[np.float32], errors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """100 sum(errors) / sum(intensity) of each row; NaN where a model gives no errors."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = 100.0 * errors.sum(axis=1, dtype=float) / intensity.sum(axis=1, dtype=float)
    share[~errors.any(axis=1)] = np.nan
    return np.asarray(share)


def rounded(values: NDArray[Any], digits: int = 6) -> list[float]:
    """As numbers of so many significant digits, short in JSON."""
    return [float(f"{x:.{digits}g}") for x in values.tolist()]
