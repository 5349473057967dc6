"""Named subgroups of labels, on each of which a new model must not be worse than the old one.

The names are what a chemist would ask for: which elements stand beside the absorber, how many atoms
do, the charge, and how far the champion's training data are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xas.edges import element_symbol
from xas.structure import Sites, StructureBatch

Mask = NDArray[np.bool_]

BOND_TOLERANCE = 1.3
"""Bonded: nearer than this many sums of covalent radii (Cordero et al., Dalton Trans. 2832, 2008).
Fe-N and Fe-S bonds of tmQM lie below 1.2; the next neighbours of a ligand above 1.4."""
COORDINATION = ((0, 3), (4, 4), (5, 5), (6, 6), (7, 9), (10, 999))
NAMED_SHARE = 0.005
"""An element beside fewer of the absorbers is not named alone, but among "a rare element"."""


def subgroups(
    batch: StructureBatch,
    sites: Sites,
    novelty: NDArray[np.float64],
    charge: NDArray[np.int64] | None = None,
) -> dict[str, Mask]:
    """Name -> (n,) for n sites. A label is in several; empty ones are left out.

    novelty  (n,) by the champion: thirds of it are near, middling and far
    charge   (n,) of each structure, in elementary charges, where it is known
    """
    near = bonded_elements(batch, sites)
    named = _ligands(near) | _coordination(near) | _distances(novelty)
    if charge is not None:
        named |= _charges(charge)
    return {name: mask for name, mask in named.items() if mask.any()}


def bonded_elements(batch: StructureBatch, sites: Sites) -> NDArray[np.int64]:
    """How many atoms of each element are bonded to each absorber, (n_sites, 119) int64.

    Cells are not continued: the atoms of a cluster are those that are given.
    """
    from ase.data import covalent_radii

    radii = np.asarray(covalent_radii, dtype=np.float64)
    counts = np.zeros((len(sites), 119), dtype=np.int64)
    for i, (structure, atom) in enumerate(zip(sites.structure, sites.atom, strict=True)):
        first, end = batch.offsets[structure], batch.offsets[structure + 1]
        numbers = batch.numbers[first:end]
        away = np.linalg.norm(batch.positions[first:end] - batch.positions[first + atom], axis=1)
        bonded = away < BOND_TOLERANCE * (radii[numbers] + radii[numbers[atom]])
        bonded[atom] = False
        np.add.at(counts[i], numbers[bonded], 1)
    return counts


def _ligands(near: NDArray[np.int64]) -> dict[str, Mask]:
    """By element beside the absorber; those beside few together."""
    beside = near > 0
    often = beside.mean(axis=0) >= NAMED_SHARE
    named = {f"{element_symbol(int(z))} beside it": beside[:, z] for z in np.flatnonzero(often)}
    return named | {"a rare element beside it": (beside & ~often).any(axis=1)}


def _coordination(near: NDArray[np.int64]) -> dict[str, Mask]:
    n = near.sum(axis=1)
    return {_range(low, high): (n >= low) & (n <= high) for low, high in COORDINATION}


def _range(low: int, high: int) -> str:
    if low == high:
        return f"{low} neighbours"
    return f"{low} or more neighbours" if high > 100 else f"{low} to {high} neighbours"


def _charges(charge: NDArray[np.int64]) -> dict[str, Mask]:
    return {f"charge {int(q):+d}" if q else "charge 0": charge == q for q in np.unique(charge)}


def _distances(novelty: NDArray[np.float64]) -> dict[str, Mask]:
    """Thirds; equal ones are together."""
    low, high = np.quantile(novelty, [1.0 / 3.0, 2.0 / 3.0])
    where = "the champion's training data"
    return {
        f"near {where}": novelty <= low,
        f"at a middle distance from {where}": (novelty > low) & (novelty <= high),
        f"far from {where}": novelty > high,
    }
