"""Principal axes of a table of numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def principal_axes(x: Array) -> tuple[Array, Array]:
    """Variance (k,) along each axis, falling, and the axes (n_columns, k), of rows around 0.

    By the Gram matrix of the shorter side; axes without variance are left out, and each axis points
    to where its largest component is positive, so that the result does not depend on the library.
    """
    n, width = x.shape
    square, across = np.linalg.eigh(x.T @ x if width <= n else x @ x.T)
    used = square > 1e-12 * max(square[-1], 1e-300)
    square, across = square[used][::-1], across[:, used][:, ::-1]
    axes = across if width <= n else x.T @ across / np.sqrt(square)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None, :], axis=0)
    return square / n, axes * np.where(largest < 0.0, -1.0, 1.0)


def standard_scale(x: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Mean of each column, 1 / its standard deviation, and which columns vary at all.

    A column that never varied must not hide what is new in it: its scale is the typical one.
    """
    centre, std = x.mean(axis=0), x.std(axis=0)
    varies = std > 1e-6 * np.maximum(1.0, np.abs(centre))
    typical = float(np.median(std[varies])) if varies.any() else 1.0
    return centre, 1.0 / np.where(varies, std, typical), varies
