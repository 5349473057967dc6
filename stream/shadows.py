"""How far a shadow's spectra are from those that were served: counts that can be added up."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

LOWEST_PERCENT = 1e-4  # smaller ones are counted as this
PER_DECADE = 20  # so a median is known to 6 % of itself
MAX_BIN = 8 * PER_DECADE


class ShadowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run, between the model that served it and its shadow.

    frames, skipped, failed  compared, not compared for want of time, not predicted by the shadow
    bins                     bin of log10(percent difference) -> sites; see ``bins_of``
    """

    run: str
    served: str
    shadow: str
    frames: int = 0
    skipped: int = 0
    failed: int = 0
    sites: int = 0
    max_percent: float = 0.0
    bins: dict[str, int] = {}

    def plus(self, other: ShadowCount) -> ShadowCount:
        """Both together."""
        keys = dict.fromkeys([*self.bins, *other.bins])
        return ShadowCount(
            run=self.run,
            served=self.served,
            shadow=self.shadow,
            frames=self.frames + other.frames,
            skipped=self.skipped + other.skipped,
            failed=self.failed + other.failed,
            sites=self.sites + other.sites,
            max_percent=max(self.max_percent, other.max_percent),
            bins={k: self.bins.get(k, 0) + other.bins.get(k, 0) for k in keys},
        )

    @property
    def median_percent(self) -> float:
        """To 6 % of itself; not a number where nothing was compared."""
        rising = sorted((int(k), n) for k, n in self.bins.items())
        if not rising:
            return float("nan")
        reach = np.cumsum([n for _, n in rising])
        middle = rising[int(np.searchsorted(reach, self.sites / 2))][0]
        return float(LOWEST_PERCENT * 10 ** ((middle + 0.5) / PER_DECADE))


class ShadowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The same for reading: 100 sum|shadow - served| / sum(served) of a site's spectrum.

    The median is known to 6 % of itself; both are None where nothing was compared.
    """

    run: str
    served: str
    shadow: str
    frames: int
    skipped: int
    failed: int
    sites: int
    median_percent: float | None
    max_percent: float | None

    @classmethod
    def of(cls, count: ShadowCount) -> ShadowDifference:
        """From its counts."""
        return cls(
            run=count.run,
            served=count.served,
            shadow=count.shadow,
            frames=count.frames,
            skipped=count.skipped,
            failed=count.failed,
            sites=count.sites,
            median_percent=count.median_percent if count.sites else None,
            max_percent=count.max_percent if count.sites else None,
        )


def bins_of(percent: NDArray[np.float64]) -> dict[str, int]:
    """How many of them fall into which bin, 20 a decade from 1e-4 % up."""
    decades = np.log10(np.maximum(percent, LOWEST_PERCENT) / LOWEST_PERCENT)
    numbers, counts = np.unique(
        np.minimum((PER_DECADE * decades).astype(int), MAX_BIN), return_counts=True
    )
    return {str(k): int(n) for k, n in zip(numbers, counts, strict=True)}
