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


def cell_of(lengths: Sequence[float], degrees: Sequence[float]) -> Floats | None:
    """Return the cell of lengths a, b, c and angles alpha, beta, gamma; None where there is none.

    (3, 3), vectors in rows: a along x, b in the xy plane.
    """
    # exact at right angles, where a cosine of radians is not
    cos_alpha, cos_beta, cos_gamma = (float(np.sin(np.radians(90.0 - x))) for x in degrees)
    sin_squared = 1.0 - cos_gamma**2
    if not (np.isfinite([*lengths, *degrees]).all() and min(lengths) > 0.0 < sin_squared):
        return None
    sin_gamma = np.sqrt(sin_squared)
    y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    z_squared = 1.0 - cos_beta**2 - y**2
    if not z_squared > 0.0:
        return None
    rows = [[1.0, 0.0, 0.0], [cos_gamma, sin_gamma, 0.0], [cos_beta, y, np.sqrt(z_squared)]]
    cell: Floats = np.array(rows) * np.array(lengths)[:, None]
    return cell
