"""Structures and the sites in them, as ragged arrays.

Positions are rounded to float32 once, here, so that a structure predicted in process, sent through
the stream, or read back from a result file gives the same numbers bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadStructure


class AtomsLike(Protocol):
    """What is read of an ``ase.Atoms``; ASE itself is not imported here."""

    numbers: Any
    positions: Any
    cell: Any
    pbc: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureBatch:
    """Structures of any size, end to end.

    numbers    (n_atoms,) uint8, atomic numbers
    positions  (n_atoms, 3) float32, angstrom
    offsets    (n_structures + 1,) int64; structure i owns the atoms offsets[i]:offsets[i + 1]
    cells      (n_structures, 3, 3) float64, angstrom, lattice vectors in rows; None: no cells
    pbc        (n_structures, 3) bool; None: periodic nowhere
    """

    numbers: NDArray[np.uint8]
    positions: NDArray[np.float32]
    offsets: NDArray[np.int64]
    cells: NDArray[np.float64] | None = None
    pbc: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_atoms(self) -> int:
        """Atoms of all structures together."""
        return len(self.numbers)

    def __getitem__(self, part: slice) -> StructureBatch:
        """A contiguous part, as views."""
        first, end, step = part.indices(len(self))
        if step != 1:
            raise ValueError("only contiguous parts of a StructureBatch can be taken")
        end = max(first, end)
        low, high = int(self.offsets[first]), int(self.offsets[end])
        return StructureBatch(
            numbers=self.numbers[low:high],
            positions=self.positions[low:high],
            offsets=self.offsets[first : end + 1] - low,
            cells=None if self.cells is None else self.cells[first:end],
            pbc=None if self.pbc is None else self.pbc[first:end],
        )

    def __iter__(self) -> Iterator[StructureBatch]:
        """Each structure as a batch of one."""
        return (self[i : i + 1] for i in range(len(self)))

    def take(self, indices: NDArray[np.integer[Any]]) -> StructureBatch:
        """Some structures, in the given order, as a copy."""
        return StructureBatch.concatenate([self[int(i) : int(i) + 1] for i in indices])

    @classmethod
    def from_arrays(
        cls,
        numbers: Any,
        positions: Any,
        offsets: Any = None,
        cells: Any = None,
        pbc: Any = None,
    ) -> StructureBatch:
        """Take arrays of any number type; checks shapes, not values."""
        numbers = np.asarray(numbers)
        if numbers.size and (numbers.min() < 0 or numbers.max() > 118):
            raise BadStructure("atomic numbers must lie between 0 and 118")
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(positions, dtype=np.float32).reshape(-1, 3)
        if len(rounded) != len(numbers):
            raise BadStructure(f"{len(numbers)} atomic numbers but {len(rounded)} positions")
        if offsets is None:
            offsets = [0, len(numbers)]
        ends = np.ascontiguousarray(offsets, dtype=np.int64)
        if len(ends) < 1 or ends[0] != 0 or ends[-1] != len(numbers) or (np.diff(ends) < 0).any():
            raise BadStructure("offsets must rise from 0 to the number of atoms")
        n_structures = len(ends) - 1
        return cls(
            numbers=np.ascontiguousarray(numbers, dtype=np.uint8),
            positions=rounded,
            offsets=ends,
            cells=None
            if cells is None
            else np.ascontiguousarray(cells, dtype=np.float64).reshape(n_structures, 3, 3),
            pbc=None
            if pbc is None
            else np.ascontiguousarray(pbc, dtype=np.bool_).reshape(n_structures, 3),
        )

    @classmethod
    def from_atoms(cls, structures: AtomsLike | Iterable[AtomsLike]) -> StructureBatch:
        """Take one ``ase.Atoms`` or an iterable of them."""
        given: Any = structures
        atoms: list[Any] = [given] if hasattr(given, "numbers") else list(given)
        if not atoms:
            return EMPTY
        sizes = [len(a.numbers) for a in atoms]
        periodic = np.array([np.broadcast_to(np.asarray(a.pbc, dtype=bool), 3) for a in atoms])
        has_cell = bool(periodic.any())
        return cls.from_arrays(
            np.concatenate([a.numbers for a in atoms]),
            np.concatenate([a.positions for a in atoms]),
            np.concatenate([[0], np.cumsum(sizes)]),
            np.array([np.asarray(a.cell) for a in atoms]) if has_cell else None,
            periodic if has_cell else None,
        )

    @classmethod
    def concatenate(cls, batches: Sequence[StructureBatch]) -> StructureBatch:
        """Join batches end to end."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return EMPTY
        starts = np.cumsum([0] + [b.n_atoms for b in batches])
        offsets = [b.offsets[:-1] + start for b, start in zip(batches, starts[:-1], strict=True)]
        has_cell = any(b.cells is not None for b in batches)
        return cls(
            numbers=np.concatenate([b.numbers for b in batches]),
            positions=np.concatenate([b.positions for b in batches]),
            offsets=np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
            cells=np.concatenate([b._cells_or_zero() for b in batches]) if has_cell else None,
            pbc=np.concatenate([b._pbc_or_false() for b in batches]) if has_cell else None,
        )

    def _cells_or_zero(self) -> NDArray[np.float64]:
        return np.zeros((len(self), 3, 3)) if self.cells is None else self.cells

    def _pbc_or_false(self) -> NDArray[np.bool_]:
        return np.zeros((len(self), 3), dtype=np.bool_) if self.pbc is None else self.pbc


EMPTY = StructureBatch(
    numbers=np.zeros(0, dtype=np.uint8),
    positions=np.zeros((0, 3), dtype=np.float32),
    offsets=np.zeros(1, dtype=np.int64),
)


@dataclass(frozen=True, slots=True)
class Sites:
    """Absorbers in a batch, ordered by structure, then as given or by atom.

    structure  (n_sites,) int64, which structure of the batch
    atom       (n_sites,) int64, which atom of that structure, from 0
    """

    structure: NDArray[np.int64]
    atom: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.structure)


def sites_of_element(batch: StructureBatch, number: int) -> Sites:
    """Every atom of one element, in the order of structures, then atoms."""
    flat = np.flatnonzero(batch.numbers == number)
    structure = np.searchsorted(batch.offsets, flat, side="right") - 1
    return Sites(structure, flat - batch.offsets[structure])
