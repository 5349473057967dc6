"""The atoms around each absorber, periodic images included.

The C kernel finds them by itself (_frame.c); ``vectors_within`` is the plain form, written for
reading and for positions of any precision. Both agree bit for bit, but for the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas import wacsf_kernel
from xas.errors import BadStructure
from xas.faults import MAX_NEIGHBOURS, CheckedStructures, checked, too_dense
from xas.kernel import Kernel, choose_kernel
from xas.lattice import squared_length
from xas.structure import Sites, StructureBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The neighbours of each site, end to end.

    vectors  (n, 3) float64, angstrom, from the absorber to the neighbour
    numbers  (n,) uint8, atomic numbers
    offsets  (n_sites + 1,) int64; site i owns offsets[i]:offsets[i + 1]
    """

    vectors: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


def neighbours_of_sites(
    structures: StructureBatch | CheckedStructures,
    sites: Sites,
    cutoff_angstrom: float,
    kernel: Kernel | None = None,
) -> Neighbours:
    """Every atom and image closer than the cutoff (strictly) to each absorber, but not itself.

    An image of the absorber is a neighbour. Raises BadStructure as ``faults.checked`` does, and for
    an absorber with an impossible number of neighbours.
    """
    good = checked(structures, sites, cutoff_angstrom)
    if choose_kernel(kernel) == "c":
        vectors, numbers, offsets = wacsf_kernel.neighbours(good, sites, cutoff_angstrom)
        return Neighbours(vectors=vectors, numbers=numbers, offsets=offsets)
    batch, duals = good.batch, good.duals
    found: list[tuple[NDArray[np.float64], NDArray[np.uint8]]] = []
    for structure, atom in zip(sites.structure.tolist(), sites.atom.tolist(), strict=True):
        part = slice(int(batch.offsets[structure]), int(batch.offsets[structure + 1]))
        lattice = None
        if duals is not None and batch.cells is not None and duals[structure].any():
            lattice = batch.cells[structure], duals[structure]
        vectors, owner = vectors_within(batch.positions[part], atom, cutoff_angstrom, lattice)
        if len(owner) > MAX_NEIGHBOURS:
            raise BadStructure(too_dense(structure, atom, cutoff_angstrom))
        found.append((vectors, batch.numbers[part][owner]))
    return join(found)


def vectors_within(
    positions: NDArray[Any],
    atom: int,
    cutoff_angstrom: float,
    lattice: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vectors from one atom to all others within the cutoff, and whose they are.

    positions  (n_atoms, 3) of any float type, angstrom; differences are taken in float64
    lattice    cell (3, 3) and its dual vectors (3, 3), in rows
    """
    exact = positions.astype(np.float64)
    from_atom = exact - exact[atom]
    if lattice is None:
        owner = np.arange(len(exact))
        keep = squared_length(from_atom) < cutoff_angstrom**2
        keep[atom] = False
        return from_atom[keep], owner[keep]
    vectors, owner = _images(from_atom, atom, cutoff_angstrom, *lattice)
    keep = squared_length(vectors) < cutoff_angstrom**2
    return vectors[keep], owner[keep]


def _images(
    from_atom: NDArray[np.float64],
    atom: int,
    cutoff: float,
    cell: NDArray[np.float64],
    duals: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All images that may lie within the cutoff: fractional distance <= cutoff |dual| each way."""
    reach = cutoff * np.sqrt(squared_length(duals))
    most = np.floor(reach + 0.5 + 1e-9).astype(np.int64)
    steps = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1)
    nearest = -np.rint(from_atom @ duals.T).astype(np.int64)
    shifts = nearest[:, None, :] + steps.reshape(1, -1, 3)
    itself = (np.arange(len(from_atom))[:, None] == atom) & (shifts == 0).all(axis=2)
    owner, image = np.nonzero(~itself)
    n = shifts[owner, image].astype(np.float64)
    # in the C kernel's order of operations, so that both see the same bits
    moved = (n[:, :1] * cell[0] + n[:, 1:2] * cell[1]) + n[:, 2:] * cell[2]
    return from_atom[owner] + moved, owner


def join(sites: list[tuple[NDArray[np.float64], NDArray[np.uint8]]]) -> Neighbours:
    """Neighbours of single sites (vectors, numbers), end to end."""
    sizes = [len(numbers) for _, numbers in sites]
    return Neighbours(
        vectors=np.concatenate([np.zeros((0, 3)), *(vectors for vectors, _ in sites)]),
        numbers=np.concatenate([np.zeros(0, np.uint8), *(numbers for _, numbers in sites)]),
        offsets=np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
    )
