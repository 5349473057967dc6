"""What is wrong with structures, found before anything is computed of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadStructure
from xas.lattice import dual_vectors, squared_length
from xas.structure import Sites, StructureBatch

MAX_IMAGES = 1_000_000
"""More images of a cell than this within the cutoff: the cell is degenerate."""
MAX_NEIGHBOURS = 20_000
"""More neighbours of one absorber than this: no such matter exists, its pairs take minutes."""
MAX_COORDINATE_ANGSTROM = 65_536.0
"""Beyond this a float32 is coarser than 0.004 angstrom."""


class CheckedStructures:
    """Structures that have been checked; making one is the check, so there is no unchecked one.

    batch            the structures, bad ones included; its arrays must not be written to any more
    cutoff_angstrom  neighbours up to here may be asked for
    faults           structure -> what is wrong with it, of the bad ones
    duals            as ``lattice.dual_vectors``; undefined for bad ones
    """

    __slots__ = ("batch", "cutoff_angstrom", "duals", "faults")

    def __init__(self, batch: StructureBatch, cutoff_angstrom: float) -> None:
        self.batch = batch
        self.cutoff_angstrom = cutoff_angstrom
        self.duals = dual_vectors(batch)
        self.faults = _faults(batch, self.duals, cutoff_angstrom)

    def require_good(self) -> None:
        """Raise BadStructure for the first structure that is bad."""
        for i, fault in sorted(self.faults.items()):
            raise BadStructure(f"structure {i}: {fault}")

    def require_sites(self, sites: Sites) -> None:
        """Raise BadStructure for a site that does not exist or lies in a bad structure."""
        if not len(sites):
            return
        inside = (sites.structure >= 0) & (sites.structure < len(self.batch)) & (sites.atom >= 0)
        if inside.all():
            inside = sites.atom < np.diff(self.batch.offsets)[sites.structure]
        if not inside.all():
            i = int(np.flatnonzero(~inside)[0])
            raise BadStructure(f"structure {sites.structure[i]} has no atom {sites.atom[i]}")
        if self.faults:
            for i in sites.structure[np.isin(sites.structure, list(self.faults))].tolist():
                raise BadStructure(f"structure {i}: {self.faults[i]}")


def checked(
    structures: StructureBatch | CheckedStructures, sites: Sites, cutoff_angstrom: float
) -> CheckedStructures:
    """Structures checked for this cutoff, in which all these sites can be computed.

    A plain batch is checked here and must be good throughout; of structures that were checked
    before, bad ones may be there as long as no site lies in them. Raises BadStructure.
    """
    if isinstance(structures, StructureBatch):
        structures = CheckedStructures(structures, cutoff_angstrom)
        structures.require_good()
    elif structures.cutoff_angstrom < cutoff_angstrom:
        structures = CheckedStructures(structures.batch, cutoff_angstrom)
    structures.require_sites(sites)
    return structures


def check_structures(batch: StructureBatch, cutoff_angstrom: float = 6.0) -> list[str]:
    """What is wrong with each structure, in a few words; "" where it is good.

    Bad are: no atoms; a position that is not finite or too far out for float32; a periodic cell
    without volume, or so flat or so crowded that no such matter exists.
    """
    faults = CheckedStructures(batch, cutoff_angstrom).faults
    return [faults.get(i, "") for i in range(len(batch))]


def _faults(
    batch: StructureBatch, duals: NDArray[np.float64] | None, cutoff: float
) -> dict[int, str]:
    faults: dict[int, str] = {}
    for i in np.flatnonzero(_bad_cells(batch, duals, cutoff)).tolist():
        faults[i] = "its periodic cell has no volume, or is too flat or too full of atoms"
    for atom in _far_atoms(batch.positions)[::-1].tolist():
        i = int(np.searchsorted(batch.offsets, atom, side="right")) - 1
        faults[i] = _position_problem(batch.positions[atom], atom - int(batch.offsets[i]))
    for i in np.flatnonzero(batch.offsets[1:] == batch.offsets[:-1]).tolist():
        faults[i] = "it has no atoms"
    return faults


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


def _bad_cells(
    batch: StructureBatch, duals: NDArray[np.float64] | None, cutoff: float
) -> NDArray[np.bool_]:
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


def too_dense(structure: int, atom: int, cutoff_angstrom: float) -> str:
    """The words for an absorber with more than MAX_NEIGHBOURS neighbours."""
    return (
        f"structure {structure}: more than {MAX_NEIGHBOURS} atoms within {cutoff_angstrom:g} "
        f"angstrom of atom {atom}"
    )
