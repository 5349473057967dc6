"""The reciprocal vectors of cells, periodic along all, some or none of their axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xas.structure import StructureBatch


def dual_vectors(batch: StructureBatch) -> NDArray[np.float64] | None:
    """The reciprocal vectors (without 2 pi) of each cell, in rows; None: nothing is periodic.

    Row a is zero where axis a is not periodic; |row a| is 1 / (distance of the lattice planes)
    among the periodic axes, and inf where these do not span as many dimensions.
    """
    if batch.cells is None or batch.pbc is None or not batch.pbc.any():
        return None
    duals = np.zeros((len(batch), 3, 3))
    full = batch.pbc.all(axis=1)
    some = batch.pbc.any(axis=1) & ~full
    with np.errstate(all="ignore"):
        duals[full] = _duals_in_space(batch.cells[full])
        for i in np.flatnonzero(some):
            duals[i] = _duals_in_part(batch.cells[i], batch.pbc[i])
    return duals


def _duals_in_space(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    # rows of the adjugate: b x c, c x a, a x b; np.cross costs ten times as much for few cells
    b, c = cells[:, [1, 2, 0]], cells[:, [2, 0, 1]]
    normals = b[:, :, [1, 2, 0]] * c[:, :, [2, 0, 1]] - b[:, :, [2, 0, 1]] * c[:, :, [1, 2, 0]]
    volume = (cells[:, 0] * normals[:, 0]).sum(axis=1)
    duals: NDArray[np.float64] = normals / volume[:, None, None]
    duals[~np.isfinite(duals).all(axis=(1, 2))] = np.inf
    return duals


def _duals_in_part(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of one or two periodic axes: the dual basis within their span."""
    duals = np.zeros((3, 3))
    rows = cell[pbc]
    if not np.isfinite(rows).all() or np.linalg.matrix_rank(rows, tol=1e-9) < len(rows):
        duals[pbc] = np.inf
    else:
        duals[pbc] = np.linalg.pinv(rows).T
    return duals


def squared_length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """x^2 + y^2 + z^2 of the last axis, in the C kernel's order of operations."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    squared: NDArray[np.float64] = x * x + y * y + z * z
    return squared
