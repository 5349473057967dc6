"""A descriptor spec as the C kernel reads it: three arrays, whose entries ``_plan.h`` names.

``ints`` holds the head, then one record a family, then the records of blocks and rectangles; an
entry called eta, mu, blocks, ... is a position in ``ints``, ``floats`` or ``tables``.

A family is all blocks that share a grid, so that Gaussians, and each neighbour's own part of its
pairs, are computed once for all of them. A class is the elements that belong to the same sides of
all angular blocks. The kernel sorts neighbours by class; an angular block is then a few rectangles,
a range of classes for either neighbour of a pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xas.descriptor_spec import RadialGrid
from xas.pair_table import pair_table
from xas.wacsf_blocks import TABLE, AngularBlock, Blocks, RadialBlock

Array = NDArray[np.float64]
Range = tuple[int, int]

HEAD_INTS, FAMILY_INTS = 5, 15
RADIAL, ANGULAR = 1, 2
CACHE_LINE = 8
"""Of doubles: what is read as vectors begins at a multiple of it."""
LARGEST_EXPONENT = 600.0
"""Gaussians and ratios of them stay within e^-600..e^600 where they are made by multiplication."""


class Plan(NamedTuple):
    """A spec as C reads it; floats[0] is the cutoff; tables begin with the place of each
    element when they are sorted by class, and with where each class begins in that order."""

    ints: NDArray[np.int64]
    floats: Array
    tables: NDArray[np.int16]


@lru_cache(maxsize=64)
def plan_of(blocks: Blocks, lanes: int) -> Plan:
    """Pack a spec for vectors of ``lanes`` doubles, to which grids are padded.

    Blocks are hashed by identity, and ``blocks_of`` keeps them.
    """
    radial: dict[Hashable, list[RadialBlock]] = {}
    for block in blocks.radial:
        radial.setdefault(block.grid, []).append(block)
    angular: dict[Hashable, list[AngularBlock]] = {}
    for pairs in blocks.angular:
        angular.setdefault((pairs.grid, pairs.weight.tobytes()), []).append(pairs)
    packer = _Packer(blocks, lanes, len(radial) + len(angular))
    for radial_family in radial.values():
        packer.add_radial(radial_family)
    for angular_family in angular.values():
        packer.add_angular(angular_family)
    return packer.plan()


def element_classes(blocks: Iterable[AngularBlock]) -> NDArray[np.int64]:
    """The class of each element, (256,), counted from 0."""
    sides = [side for block in blocks for side in (block.first, block.second)]
    belongs = np.stack([np.zeros(TABLE, dtype=np.bool_), *sides], axis=1)
    _, classes = np.unique(belongs, axis=0, return_inverse=True)
    return np.asarray(classes, dtype=np.int64).reshape(TABLE)


def rectangles(block: AngularBlock, classes: NDArray[np.int64]) -> list[tuple[Range, Range]]:
    """Ranges of classes that hold all pairs of a block; two equal ones hold each two once."""
    first, second = _ranges(block.first, classes), _ranges(block.second, classes)
    if block.same:
        return list(itertools.combinations_with_replacement(first, 2))
    return list(itertools.product(first, second))


def _ranges(side: NDArray[np.bool_], classes: NDArray[np.int64]) -> list[Range]:
    inside = np.isin(np.arange(classes.max() + 1), classes[side])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def covers_all(found: Iterable[tuple[Range, Range]], n_classes: int) -> bool:
    """Whether the rectangles hold every pair of classes."""
    seen = np.zeros((n_classes, n_classes), dtype=np.bool_)
    for first, second in found:
        seen[slice(*first), slice(*second)] = True
        seen[slice(*second), slice(*first)] = True
    return bool(seen.all())


def can_be_multiplied(grid: RadialGrid, lanes: int, cutoff: float) -> bool:
    """Whether each vector of Gaussians follows from the one before, see even_gaussians in C."""
    if len(grid) <= lanes or len(set(grid.eta)) != 1:
        return False
    mu, eta = np.array(grid.mu), grid.eta[0]
    even = np.linspace(mu[0], mu[-1], len(mu))
    furthest = float(max(np.abs(mu).max(), np.abs(cutoff - mu).max()))
    exact = 2.0 * eta * furthest * float(np.abs(mu - even).max()) <= 1e-12
    first = float(max(np.abs(mu[:lanes]).max(), np.abs(cutoff - mu[:lanes]).max()))
    step = float(mu[lanes] - mu[0])
    return bool(exact and eta * max(first**2, abs(step) * (2.0 * first)) <= LARGEST_EXPONENT)


class _Packer:
    """Collects arrays end to end and hands out where each begins."""

    def __init__(self, blocks: Blocks, lanes: int, n_families: int) -> None:
        spec = blocks.spec
        self._cutoff, self._n_cutoffs = spec.cutoff_angstrom, 1 if spec.clip_third else 4
        self._lanes = lanes
        self._classes = element_classes(blocks.angular)
        n_classes = int(self._classes.max()) + 1
        self._head = [spec.n_features, spec.g1, spec.clip_third, n_families, n_classes]
        self._families: list[int] = []
        self._records: list[int] = []
        self._records_begin = HEAD_INTS + FAMILY_INTS * n_families
        self._floats: list[Array] = []
        order = np.argsort(self._classes, kind="stable")
        begins = np.searchsorted(self._classes[order], np.arange(n_classes + 1))
        self._tables: list[NDArray[Any]] = [np.argsort(order), begins]
        self._add_floats([spec.cutoff_angstrom])

    def plan(self) -> Plan:
        floats = np.concatenate(self._floats)
        room = np.zeros(len(floats) + CACHE_LINE)
        begin = -room.ctypes.data % 64 // 8
        aligned = room[begin : begin + len(floats)]
        aligned[:] = floats
        return Plan(
            ints=np.array([*self._head, *self._families, *self._records], dtype=np.int64),
            floats=aligned,
            tables=np.concatenate(self._tables).astype(np.int16),
        )

    def add_radial(self, family: list[RadialBlock]) -> None:
        grid = family[0].grid
        records = [
            (
                block.column,
                len(block.labels),
                self._add_table(block.group),
                self._add_floats(block.weight),
            )
            for block in family
        ]
        self._add_family(
            RADIAL,
            len(family),
            self._add_records(records),
            len(grid),
            self._add_floats(_exponents_of_two(grid.eta)),
            self._padded(len(grid)),
            self._add_floats(grid.mu),
            int(can_be_multiplied(grid, self._lanes, self._cutoff)),
        )

    def add_angular(self, family: list[AngularBlock]) -> None:
        grid = family[0].grid
        found = [rectangles(block, self._classes) for block in family]
        table = pair_table(grid.eta, self._cutoff, self._n_cutoffs)
        records = [
            (
                block.column,
                self._add_floats(_factors(block)),
                len(parts),
                self._add_records([(*first, *second) for first, second in parts]),
            )
            for block, parts in zip(family, found, strict=True)
        ]
        self._add_family(
            ANGULAR,
            len(family),
            self._add_records(records),
            len(grid.eta),
            self._add_floats(_exponents_of_two(grid.eta)),
            len(grid.lambdas) * len(grid.zeta) * self._padded(len(grid.eta)),
            self._add_floats(family[0].weight),
            len(grid.lambdas),
            self._add_floats(grid.lambdas),
            len(grid.zeta),
            self._add_floats(grid.zeta),
            0 if table is None else self._add_pair_table(table),
            0 if table is None else (len(table) - 1) // self._n_cutoffs,
            0 if table is None else len(table),
            int(covers_all(itertools.chain(*found), int(self._classes.max()) + 1)),
        )

    def _padded(self, n: int) -> int:
        return n + -n % self._lanes

    def _add_family(self, *entries: int) -> None:
        self._families += [*entries, *[0] * (FAMILY_INTS - len(entries))]

    def _add_records(self, records: Iterable[tuple[int, ...]]) -> int:
        begin = self._records_begin + len(self._records)
        self._records += [entry for record in records for entry in record]
        return begin

    def _add_floats(self, values: Any) -> int:
        begin = sum(map(len, self._floats))
        flat = np.asarray(values, dtype=np.float64)
        self._floats.append(np.pad(flat, (0, -len(flat) % CACHE_LINE)))
        return begin

    def _add_pair_table(self, table: Array) -> int:
        """In groups of etas, padded so that they can be read as vectors."""
        width, group = self._padded(table.shape[2]), 2 * self._lanes
        padded = np.pad(table, ((0, 0), (0, 0), (0, width - table.shape[2])))
        parts = [padded[:, :, e : e + group].ravel() for e in range(0, width, group)]
        return self._add_floats(np.concatenate(parts))

    def _add_table(self, values: NDArray[Any]) -> int:
        begin = sum(map(len, self._tables))
        self._tables.append(values)
        return begin


def _factors(block: AngularBlock) -> list[float]:
    grid = block.grid
    return [block.scale * 2.0 ** (1.0 - zeta) for _ in grid.lambdas for zeta in grid.zeta]


def _exponents_of_two(eta: tuple[float, ...]) -> Array:
    """exp(-eta s) = 2^(-eta log2(e) s)."""
    exponents: Array = -np.log2(np.e) * np.array(eta, dtype=np.float64)
    return exponents
