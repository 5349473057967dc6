"""How often intervals hold: over all points, by energy, and by distance from the training data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Coverage

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

REGIONS_EV = (-np.inf, 0.0, 10.0, 25.0, np.inf)
"""From the edge: before it, its rise, the first oscillations, the rest."""
NOVELTY_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Of the spectra in order of their novelty; the last tenth is where models are bad."""


def coverage_rows(
    energy_from_edge: Array, novelty: Array, within: Mapping[str, Flags]
) -> tuple[Coverage, ...]:
    """All points, then regions of energy, then shares of the spectra in order of their novelty.

    energy_from_edge (n_energy,) eV; novelty (n,); within: a level, and which points (n, n_energy)
    its interval holds
    """
    every = slice(None)
    rows = [_row("all", every, every, within)]
    rows += [_row(text, every, at, within) for text, at in _regions(energy_from_edge)]
    rows += [_row(text, at, every, within) for text, at in _shares(novelty)]
    return tuple(rows)


def _row(
    where: str, rows: Flags | slice, columns: Flags | slice, within: Mapping[str, Flags]
) -> Coverage:
    part = {level: flags[rows][:, columns] for level, flags in within.items()}
    n = len(next(iter(part.values())))
    held = {level: round(float(flags.mean()), 4) for level, flags in part.items()}
    return Coverage(where=where, n_spectra=n, held=held)


def _regions(energy_from_edge: Array) -> Iterator[tuple[str, Flags]]:
    for low, high in pairwise(REGIONS_EV):
        inside = (energy_from_edge >= low) & (energy_from_edge < high)
        if inside.any():
            yield _span(low, high), inside


def _span(low: float, high: float) -> str:
    if low == -np.inf:
        return f"up to {high:+.0f} eV" if high else "before the edge"
    return f"{low:+.0f} eV on" if high == np.inf else f"{low:+.0f} to {high:+.0f} eV"


def _shares(novelty: Array) -> Iterator[tuple[str, Flags]]:
    bounds = np.quantile(novelty, NOVELTY_SHARES)
    share = np.searchsorted(bounds[1:-1], novelty, side="left")
    for i, (low, high) in enumerate(pairwise(bounds)):
        if (share == i).any():
            yield f"novelty {low:.2f} to {high:.2f}", share == i
