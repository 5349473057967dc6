"""The way into the C kernel: one call a batch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadStructure
from xas.faults import MAX_NEIGHBOURS, CheckedStructures, too_dense
from xas.kernel import instruction_sets
from xas.structure import Sites
from xas.wacsf_blocks import Blocks
from xas.wacsf_plan import Plan, plan_of

if TYPE_CHECKING:
    from xas.neighbours import Neighbours

with contextlib.suppress(ImportError):  # not built: then nothing here is called, see xas.kernel
    from xas import _wacsf

Array = NDArray[np.float64]
Values = NDArray[np.float64] | NDArray[np.float32]


def featurise(
    blocks: Blocks,
    structures: CheckedStructures,
    sites: Sites,
    values: Values,
    instruction_set: str | None = None,
) -> Array:
    """Fill values (n_sites, n_features), C-contiguous; the closest distances, as ``wacsf``.

    Raises BadStructure for an absorber with an impossible number of neighbours.
    """
    name, plan = _chosen(blocks, instruction_set)
    closest = np.empty(len(sites))
    crowded = _wacsf.featurise(
        *plan, *_arrays(structures, sites), values, closest, MAX_NEIGHBOURS, name
    )
    _refuse_crowd(crowded, sites, blocks.spec.cutoff_angstrom)
    return closest


def from_neighbours(
    blocks: Blocks, neighbours: Neighbours, instruction_set: str | None = None
) -> tuple[Array, Array]:
    """Values and closest distances, as ``wacsf``."""
    name, plan = _chosen(blocks, instruction_set)
    values = np.empty((len(neighbours), blocks.spec.n_features))
    closest = np.empty(len(neighbours))
    _wacsf.from_neighbours(
        *plan,
        np.ascontiguousarray(neighbours.numbers),
        np.ascontiguousarray(neighbours.vectors),
        np.ascontiguousarray(neighbours.offsets),
        values,
        closest,
        name,
    )
    return values, closest


def neighbours(
    structures: CheckedStructures,
    sites: Sites,
    cutoff_angstrom: float,
    instruction_set: str | None = None,
) -> tuple[Array, NDArray[np.uint8], NDArray[np.int64]]:
    """Vectors, numbers and offsets, as in ``Neighbours``.

    Raises BadStructure for an absorber with an impossible number of neighbours.
    """
    name = instruction_set or next(iter(instruction_sets()))
    offsets = np.zeros(len(sites) + 1, dtype=np.int64)
    found = _wacsf.neighbours(
        cutoff_angstrom, *_arrays(structures, sites), offsets[1:], MAX_NEIGHBOURS, name
    )
    if isinstance(found, int):
        _refuse_crowd(found, sites, cutoff_angstrom)
        raise AssertionError("unreachable")
    vectors, numbers = found
    return np.frombuffer(vectors).reshape(-1, 3), np.frombuffer(numbers, np.uint8), offsets


def _chosen(blocks: Blocks, instruction_set: str | None) -> tuple[str, Plan]:
    sets = instruction_sets()
    name = instruction_set or next(iter(sets))
    return name, plan_of(blocks, sets.get(name, 1))


def _arrays(structures: CheckedStructures, sites: Sites) -> tuple[NDArray[Any] | None, ...]:
    batch, duals = structures.batch, structures.duals
    return (
        np.ascontiguousarray(batch.numbers),
        np.ascontiguousarray(batch.positions),
        np.ascontiguousarray(batch.offsets),
        None if duals is None or batch.cells is None else np.ascontiguousarray(batch.cells),
        duals,
        np.ascontiguousarray(sites.structure, dtype=np.int64),
        np.ascontiguousarray(sites.atom, dtype=np.int64),
    )


def _refuse_crowd(crowded: int, sites: Sites, cutoff_angstrom: float) -> None:
    if crowded >= 0:
        structure, atom = int(sites.structure[crowded]), int(sites.atom[crowded])
        raise BadStructure(too_dense(structure, atom, cutoff_angstrom))
