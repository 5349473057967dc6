"""The running mean of a run's spectra, and an error that knows that frames resemble each other.

Successive frames of a trajectory are correlated, so the standard error is larger than
spread / sqrt(n). It is found by blocking (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989)):
averages over blocks of 1, 2, 4, ... frames; once blocks are longer than the correlation, the
standard error computed from them (their eq. 27) stops rising. The block length B is the shortest
with B^3 > 2 n (s_B / s_1)^4 (Lee et al., Phys. Rev. E 83, 066706 (2011)), energy by energy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FEWEST_BLOCKS = 4  # an error from fewer blocks is noise
_ROWS = 512  # taken at once: in float64 they fit into the cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Average:
    """Mean over the predicted frames so far; all (n_energy,) float64, NaN where n is too small.

    energy          eV
    intensity       mean
    errors          sqrt(standard_error^2 + model_error^2); for one frame the model's alone
    spread          standard deviation over frames (n - 1)
    standard_error  of the mean over frames, autocorrelation counted; needs 2 frames
    model_error     mean of one standard deviation of the predictions; does not average out; NaN
                    where a model gave none, and so are the errors
    n               frames
    """

    energy: Floats
    intensity: Floats
    errors: Floats
    spread: Floats
    standard_error: Floats
    model_error: Floats
    n: int

    def named(self) -> dict[str, tuple[Floats, str]]:
        """Name in the file, values, what they mean."""
        return {
            "intensity": (self.intensity, "mean over frames"),
            "intensity_errors": (self.errors, "sqrt(standard_error^2 + model_error^2)"),
            "spread": (self.spread, "standard deviation over frames"),
            "standard_error": (self.standard_error, "of the mean, autocorrelation counted"),
            "model_error": (self.model_error, "mean one standard deviation of the predictions"),
        }


@dataclass(slots=True)
class _Level:
    """Blocks of one length: how many, sums of their means and squares, one without a partner."""

    total: Floats
    squares: Floats
    n: int = 0
    single: Floats | None = None

    def add(self, blocks: Floats) -> Floats:
        """Count blocks (m, n_energy); the means of the pairs they make, for the next level."""
        self.n += len(blocks)
        self.total += blocks.sum(axis=0)
        self.squares += np.einsum("ij,ij->j", blocks, blocks)
        if self.single is not None:
            blocks = np.concatenate([self.single, blocks])
        self.single = blocks[-1:].copy() if len(blocks) % 2 else None
        paired = len(blocks) // 2 * 2
        pairs: Floats = blocks[0:paired:2] + blocks[1:paired:2]
        pairs *= 0.5
        return pairs

    def variance(self) -> Floats:
        """Of the blocks, divided by n."""
        return np.maximum(self.squares / self.n - (self.total / self.n) ** 2, 0.0)


def _used(status: NDArray[np.uint8], intensity: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """The rows to count; None for all of them."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(intensity.sum())
    if finite and (status == 1).all():
        return None
    used: NDArray[np.bool_] = status == 1
    return used & np.isfinite(intensity).all(axis=1)


@dataclass(slots=True)
class RunningAverage:
    """Sums from which ``Average`` follows at any moment; O(log n) memory."""

    energy: Floats  # (n_energy,), eV
    n: int = 0
    _origin: Floats | None = None  # a typical spectrum: sums of differences keep their digits
    _errors: Floats = field(init=False)
    _levels: list[_Level] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._errors = np.zeros(len(self.energy))

    def add(
        self, status: NDArray[np.uint8], intensity: NDArray[np.float32], errors: NDArray[np.float32]
    ) -> None:
        """Take rows (m,), (m, n_energy), (m, n_energy) in the order of the run.

        Dead-lettered rows (status not 1) and spectra with a number that is not finite are left out.
        """
        used = _used(status, intensity)
        if used is not None:
            intensity, errors = intensity[used], errors[used]
        if len(intensity) == 0:
            return
        if self._origin is None:
            self._origin = intensity[:_ROWS].mean(axis=0, dtype=np.float64)
        self.n += len(intensity)
        for low in range(0, len(intensity), _ROWS):
            self._errors += errors[low : low + _ROWS].sum(axis=0, dtype=np.float64)
            self._count(intensity[low : low + _ROWS] - self._origin)

    def _count(self, blocks: Floats) -> None:
        level = 0
        while len(blocks):
            if level == len(self._levels):
                self._levels.append(_Level(np.zeros_like(blocks[0]), np.zeros_like(blocks[0])))
            blocks = self._levels[level].add(blocks)
            level += 1

    def average(self) -> Average:
        """The average over all rows so far."""
        unknown = np.full(len(self.energy), np.nan)
        if self._origin is None:
            return Average(
                energy=self.energy,
                intensity=unknown,
                errors=unknown,
                spread=unknown,
                standard_error=unknown,
                model_error=unknown,
                n=0,
            )
        several = self.n > 1
        model_error = self._errors / self.n
        standard_error = self._standard_error() if several else unknown
        spread = np.sqrt(self._levels[0].variance() * self.n / (self.n - 1)) if several else unknown
        return Average(
            energy=self.energy,
            intensity=self._origin + self._levels[0].total / self.n,
            errors=np.hypot(standard_error, model_error) if several else model_error,
            spread=spread,
            standard_error=standard_error,
            model_error=model_error,
            n=self.n,
        )

    def _standard_error(self) -> Floats:
        """At the chosen block length; the largest of all where no length is long enough."""
        usable = [level for level in self._levels if level.n >= _FEWEST_BLOCKS] or self._levels[:1]
        found = np.array([level.variance() / (level.n - 1) for level in usable])  # squares
        length = 2.0 ** np.arange(len(usable))[:, None]
        ratio = np.divide(found, found[0], out=np.ones_like(found), where=found[0] > 0)
        enough = length**3 > 2 * self.n * ratio**2
        chosen = np.take_along_axis(found, enough.argmax(axis=0)[None], axis=0)[0]
        squares: Floats = np.where(enough.any(axis=0), chosen, found.max(axis=0))
        return np.sqrt(squares)
