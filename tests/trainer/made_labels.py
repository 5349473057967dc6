"""Labels made here: molecules whose spectrum follows from a bond length."""

from __future__ import annotations

from typing import Any

import numpy as np

ENERGY = np.linspace(7100.0, 7160.0, 61)


def made_labels(n: int = 60, n_formulas: int = 20, seed: int = 1) -> dict[str, Any]:
    """Octahedra of O around Fe, and some H for different formulas; the edge moves with Fe-O."""
    rng = np.random.default_rng(seed)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    length = rng.uniform(1.8, 2.3, n)
    numbers, positions, offsets = [], [], [0]
    for i in range(n):
        n_h = i % n_formulas
        far = 4.0 * _spread(n_h, turn=rng.uniform(0.0, 2.0 * np.pi))
        numbers += [26, *[8] * 6, *[1] * n_h]
        positions += [np.zeros((1, 3)), axes * length[i], far]
        offsets.append(len(numbers))
    edge = 7120.0 - 10.0 * (length[:, None] - 2.0)
    mu = 0.5 + np.arctan((ENERGY - edge) / 1.5) / np.pi
    mu += 0.5 * np.exp(-0.5 * ((ENERGY - edge - 8.0) / 3.0) ** 2)
    return {
        "numbers": np.array(numbers, dtype=np.uint8),
        "positions": np.concatenate(positions).astype(np.float32),
        "offsets": np.array(offsets),
        "mu": mu.astype(np.float32),
        "energy": ENERGY.copy(),
        "name": np.array([f"made {i}" for i in range(n)]),
    }


def _spread(n: int, turn: float) -> Any:
    """n directions that are far from each other, on a spiral from pole to pole."""
    z = 1.0 - 2.0 * (np.arange(n) + 0.5) / max(n, 1)
    angle = turn + np.arange(n) * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - z * z)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])
