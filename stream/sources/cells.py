"""Cells, and positions given as fractions of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PERIODIC = np.ones(3, dtype=np.bool_)


def in_cells(
    fractional: Floats,
    cells: Sequence[Floats],
    sizes: Sequence[int],
    origins: Sequence[Floats] = (),
) -> Floats:
    """Turn fractions of the lattice vectors to positions, (n, 3), in the unit of the cells.

    cells    (3, 3) a frame, vectors in rows; origins (3,) a frame, or none: zero
    sizes    atoms of each frame
    A frame that is not finite is passed on as it is. The same frame gives the same bits alone and
    among others, which a matrix product does not promise.
    """
    if all(cell is cells[0] for cell in cells):
        vectors = cells[0]
    else:
        vectors = np.repeat(np.array(cells), sizes, axis=0)
    with np.errstate(all="ignore"):
        x, y, z = (fractional[:, axis, None] * vectors[..., axis, :] for axis in range(3))
        positions: Floats = (x + y) + z
        if origins:
            positions += np.repeat(np.array(origins), sizes, axis=0)
    return positions
