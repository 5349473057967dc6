"""The atoms around each absorber, periodic images included.

This is the plain form, written for reading and for positions of any precision; the C kernel gathers
its neighbours itself and agrees with this bit for bit, but for their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadStructure
from xas.structure import Sites, StructureBatch

MAX_IMAGES = 1_000_000
"""More images of a cell than this within the cutoff: the cell is degenerate."""
MAX_NEIGHBOURS = 20_000
"""More neighbours of one absorber than this: no such matter exists, its pairs take minutes."""
MAX_COORDINATE_ANGSTROM = 65_536.0
"""Beyond this a float32 is coarser than 0.004 angstrom."""


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


def neighbours_of_sites(batch: StructureBatch, sites: Sites, cutoff_angstrom: float) -> Neighbours:
    """Every atom and image closer than the cutoff (strictly) to each absorber, but not itself.

    An image of the absorber is a neighbour. Raises BadStructure as ``require_good`` does.
    """
    require_good(batch, sites, cutoff_angstrom)
    duals = dual_vectors(batch)
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


def squared_length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """x^2 + y^2 + z^2 of the last axis, in the C kernel's order of operations."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    squared: NDArray[np.float64] = x * x + y * y + z * z
    return squared


def join(sites: list[tuple[NDArray[np.float64], NDArray[np.uint8]]]) -> Neighbours:
    """Neighbours of single sites (vectors, numbers), end to end."""
    sizes = [len(numbers) for _, numbers in sites]
    return Neighbours(
        vectors=np.concatenate([np.zeros((0, 3)), *(vectors for vectors, _ in sites)]),
        numbers=np.concatenate([np.zeros(0, np.uint8), *(numbers for _, numbers in sites)]),
        offsets=np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
    )


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
    a, b, c = cells[:, 0], cells[:, 1], cells[:, 2]
    normals = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    volume = (a * normals[:, 0]).sum(axis=1)
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


def check_structures(batch: StructureBatch, cutoff_angstrom: float = 6.0) -> list[str]:
    """What is wrong with each structure, in a few words; "" where it is good.

    Bad are: no atoms; a position that is not finite or too far out for float32; a periodic cell
    without volume, or so flat or so crowded that no such matter exists.
    """
    problems = [""] * len(batch)
    for i in np.flatnonzero(_bad_cells(batch, cutoff_angstrom)).tolist():
        problems[i] = "its periodic cell has no volume, or is too flat or too full of atoms"
    for atom in _far_atoms(batch.positions)[::-1].tolist():
        i = int(np.searchsorted(batch.offsets, atom, side="right")) - 1
        problems[i] = _position_problem(batch.positions[atom], atom - int(batch.offsets[i]))
    for i in np.flatnonzero(batch.offsets[1:] == batch.offsets[:-1]).tolist():
        problems[i] = "it has no atoms"
    return problems


def _far_atoms(positions: NDArray[np.float32]) -> NDArray[np.intp]:
    """Atoms that are not finite or too far out."""
    with np.errstate(invalid="ignore"):
        most = np.abs(positions).max(initial=0.0)
        if most <= MAX_COORDINATE_ANGSTROM:  # not so where any is nan
            return np.zeros(0, dtype=np.intp)
        return np.flatnonzero(~(np.abs(positions) <= MAX_COORDINATE_ANGSTROM).all(axis=1))


def _position_problem(position: NDArray[np.float32], atom: int) -> str:
    if not np.isfinite(position).all():
        return f"the position of atom {atom} is not finite"
    return f"atom {atom} lies more than {MAX_COORDINATE_ANGSTROM:g} angstrom from the origin"


def _bad_cells(batch: StructureBatch, cutoff: float) -> NDArray[np.bool_]:
    duals = dual_vectors(batch)
    if duals is None or batch.cells is None or batch.pbc is None:
        return np.zeros(len(batch), dtype=np.bool_)
    with np.errstate(all="ignore"):
        images = np.prod(2.0 * cutoff * np.sqrt(squared_length(duals)) + 1.0, axis=1)
        volume = np.abs(np.linalg.det(np.where(batch.pbc[:, :, None], batch.cells, np.eye(3))))
        expected = np.diff(batch.offsets) / volume * (4.0 / 3.0 * np.pi * cutoff**3)
    crowded = batch.pbc.all(axis=1) & ~(expected <= MAX_NEIGHBOURS)
    short = batch.pbc & ~(squared_length(batch.cells) >= 0.01)
    unlike = batch.pbc[:, :, None] & ~np.isfinite(batch.cells)
    bad: NDArray[np.bool_] = ~(images <= MAX_IMAGES) | crowded
    return bad | short.any(axis=1) | unlike.any(axis=(1, 2))


def require_good(batch: StructureBatch, sites: Sites, cutoff_angstrom: float) -> None:
    """Raise BadStructure for the first structure that ``check_structures`` finds bad.

    Also for a site that is not in the batch.
    """
    problems = check_structures(batch, cutoff_angstrom)
    if any(problems):
        i = next(i for i, problem in enumerate(problems) if problem)
        raise BadStructure(f"structure {i}: {problems[i]}")
    if not len(sites):
        return
    inside = (sites.structure >= 0) & (sites.structure < len(batch)) & (sites.atom >= 0)
    if inside.all():
        inside = sites.atom < np.diff(batch.offsets)[sites.structure]
    if not inside.all():
        i = int(np.flatnonzero(~inside)[0])
        raise BadStructure(f"structure {sites.structure[i]} has no atom {sites.atom[i]}")


def too_dense(structure: int, atom: int, cutoff_angstrom: float) -> str:
    """The words for an absorber with more than MAX_NEIGHBOURS neighbours."""
    return (
        f"structure {structure}: more than {MAX_NEIGHBOURS} atoms within {cutoff_angstrom:g} "
        f"angstrom of atom {atom}"
    )
