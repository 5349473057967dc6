"""The way into the C kernel: parameters packed into three arrays, one call a batch."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadStructure
from xas.neighbours import MAX_NEIGHBOURS, Neighbours, dual_vectors, too_dense
from xas.structure import Sites, StructureBatch
from xas.wacsf_blocks import AngularBlock, Blocks, RadialBlock

try:
    from xas import _wacsf
except ImportError:  # not built: wacsf.py computes in numpy
    _wacsf = None  # type: ignore[assignment,unused-ignore]

Array = NDArray[np.float64]

LANES = 8
"""Grids are padded to a multiple of this, the widest vector of doubles."""
RADIAL, ANGULAR = 1, 2


class Plan(NamedTuple):
    """A spec as C reads it; the layout is described in _wacsf.c."""

    ints: NDArray[np.int64]
    floats: Array
    tables: NDArray[np.int16]


def instruction_sets() -> tuple[str, ...]:
    """What this processor can run, fastest first; empty: the C kernel is not built."""
    return () if _wacsf is None else tuple(_wacsf.instruction_sets())


def featurise(
    blocks: Blocks, batch: StructureBatch, sites: Sites, instruction_set: str | None = None
) -> tuple[Array, Array]:
    """Values and closest distances, as ``wacsf``; structures must have been checked."""
    values, closest = _output(blocks, len(sites))
    duals = dual_vectors(batch)
    crowded = _wacsf.featurise(
        *plan_of(blocks),
        np.ascontiguousarray(batch.numbers),
        np.ascontiguousarray(batch.positions),
        np.ascontiguousarray(batch.offsets),
        None if duals is None or batch.cells is None else np.ascontiguousarray(batch.cells),
        duals,
        np.ascontiguousarray(sites.structure, dtype=np.int64),
        np.ascontiguousarray(sites.atom, dtype=np.int64),
        values,
        closest,
        MAX_NEIGHBOURS,
        instruction_set or instruction_sets()[0],
    )
    if crowded >= 0:
        structure, atom = int(sites.structure[crowded]), int(sites.atom[crowded])
        raise BadStructure(too_dense(structure, atom, blocks.spec.cutoff_angstrom))
    return values, closest


def from_neighbours(
    blocks: Blocks, neighbours: Neighbours, instruction_set: str | None = None
) -> tuple[Array, Array]:
    """Values and closest distances, as ``wacsf``."""
    values, closest = _output(blocks, len(neighbours))
    _wacsf.from_neighbours(
        *plan_of(blocks),
        np.ascontiguousarray(neighbours.numbers),
        np.ascontiguousarray(neighbours.vectors),
        np.ascontiguousarray(neighbours.offsets),
        values,
        closest,
        instruction_set or instruction_sets()[0],
    )
    return values, closest


def _output(blocks: Blocks, n_sites: int) -> tuple[Array, Array]:
    return np.zeros((n_sites, blocks.spec.n_features)), np.full(n_sites, np.inf)


@lru_cache(maxsize=64)
def plan_of(blocks: Blocks) -> Plan:
    """Pack a spec for C; blocks are hashed by identity, and ``blocks_of`` keeps them."""
    spec = blocks.spec
    packer = _Packer()
    packer.add_floats([spec.cutoff_angstrom])
    rows = [packer.radial(block) for block in blocks.radial]
    rows += [packer.angular(block) for block in blocks.angular]
    head = [spec.n_features, int(spec.g1), int(spec.clip_third), len(rows)]
    return Plan(
        ints=np.array([*head, *(value for row in rows for value in row)], dtype=np.int64),
        floats=np.concatenate(packer.floats),
        tables=np.concatenate([np.zeros(1, np.int16), *packer.tables]),
    )


class _Packer:
    """Collects arrays end to end and hands out where each begins."""

    def __init__(self) -> None:
        self.floats: list[Array] = []
        self.tables: list[NDArray[np.int16]] = []

    def add_floats(self, values: Any, lanes: int = 1) -> int:
        start = sum(map(len, self.floats))
        flat = np.asarray(values, dtype=np.float64)
        self.floats.append(np.pad(flat, (0, -len(flat) % lanes)))
        return start

    def add_table(self, values: NDArray[Any]) -> int:
        start = 1 + sum(map(len, self.tables))
        self.tables.append(values.astype(np.int16))
        return start

    def radial(self, block: RadialBlock) -> list[int]:
        grid = block.grid
        return [
            RADIAL,
            block.column,
            self.add_floats(block.weight),
            self.add_table(block.group),
            0,
            len(block.labels),
            len(grid),
            0,
            self.add_floats(_exponents_of_two(grid.eta), LANES),
            self.add_floats(grid.mu, LANES),
            0,
            0,
        ]

    def angular(self, block: AngularBlock) -> list[int]:
        grid = block.grid
        factor = [block.scale * 2.0 ** (1.0 - zeta) for _ in grid.lambdas for zeta in grid.zeta]
        return [
            ANGULAR,
            block.column,
            self.add_floats(block.weight),
            self.add_table(block.first),
            self.add_table(block.second),
            int(block.same),
            len(grid.eta),
            len(grid.lambdas),
            self.add_floats(_exponents_of_two(grid.eta), LANES),
            self.add_floats(grid.lambdas),
            self.add_floats([len(grid.zeta), *grid.zeta]),
            self.add_floats(factor),
        ]


def _exponents_of_two(eta: tuple[float, ...]) -> Array:
    """exp(-eta s) = 2^(-eta log2(e) s)."""
    exponents: Array = -np.log2(np.e) * np.array(eta, dtype=np.float64)
    return exponents
