"""What turns the outputs of an XANESNET network into a spectrum: a matrix (n_energy, n_outputs).

Both transforms are linear, so that the importer multiplies the matrix into the last layer, in
float64, and nothing of it is left to compute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.importers.grid import Grid
from xas.errors import BadModel

Array = NDArray[np.float64]


def fourier_decoder(n_energy: int) -> Array:
    """The real part of the inverse FFT of 2 n_energy coefficients, of which the first half counts.

    The coefficients are the real part of the FFT of a spectrum followed by its mirror image.
    """
    n = 2 * n_energy
    turn = np.outer(np.arange(n_energy), np.arange(n)) % n  # exact also for large products
    decoder: Array = np.cos(2.0 * np.pi * turn / n) / n
    return decoder


def gaussian_decoder(energy: Grid, widths_ev: Sequence[float], stride: int) -> Array:
    """Gaussians of each width (outermost) on every stride-th point of the grid, area 1 each.

    Their widths count in points of the first step of the grid, which is taken in float32, at least
    half a point.
    """
    if not widths_ev or stride < 1 or not all(0.0 < w < 1e4 for w in widths_ev):
        raise BadModel(f"a Gaussian basis of widths {list(widths_ev)[:8]}, stride {stride}")
    grid = np.asarray(energy, dtype=np.float32)
    step = float(grid[1] - grid[0])
    centres = np.arange(0, len(grid), stride)
    distance = np.arange(len(grid))[:, None] - centres
    columns = [np.exp(-0.5 * (distance / max(w / step, 0.5)) ** 2) for w in widths_ev]
    basis = np.concatenate(columns, axis=1)
    decoder: Array = basis / (basis.sum(axis=0) * step + 1e-12)
    return decoder
