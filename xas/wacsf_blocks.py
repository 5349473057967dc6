"""A descriptor spec laid out as blocks of columns: what the reference and the kernel compute.

The weighted G2 and G4 are the blocks of all elements with weights; a channel is the block of some
elements with weight 1. Tables have one entry for each uint8, so that any atomic number may index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xas.descriptor_spec import AngularGrid, DescriptorSpec, ElementGroup, RadialGrid, Weight
from xas.edges import element_symbol

TABLE = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RadialBlock:
    """n_groups times a radial grid, from ``column`` on; the grid is innermost.

    group   (256,) int16, the group of an element, -1: of none
    weight  (256,) float64, w of an element
    """

    column: int
    labels: tuple[str, ...]
    group: NDArray[np.int16]
    weight: NDArray[np.float64]
    grid: RadialGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AngularBlock:
    """One angular grid, from ``column`` on.

    first, second  (256,) bool, whether an element belongs to either side of a pair
    same           both sides are the same: each two neighbours count once
    weight         (256,) float64, w of an element
    scale          factor of every feature: 2 where pairs are counted twice
    """

    column: int
    label: str
    first: NDArray[np.bool_]
    second: NDArray[np.bool_]
    same: bool
    weight: NDArray[np.float64]
    scale: float
    grid: AngularGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """All columns of a spec; G1, where there is one, is column 0."""

    spec: DescriptorSpec
    radial: tuple[RadialBlock, ...]
    angular: tuple[AngularBlock, ...]


def element_weights(weight: Weight) -> NDArray[np.float64]:
    """w for each atomic number, (256,) float64."""
    number = np.arange(TABLE, dtype=np.float64)
    return {"one": np.ones(TABLE), "0.1Z": 0.1 * number, "Z": number}[weight]


@lru_cache(maxsize=64)
def blocks_of(spec: DescriptorSpec) -> Blocks:
    """The columns of a spec, in its order."""
    column = int(spec.g1)
    radial, angular = [], []
    everything, weights, one = tuple(range(TABLE)), element_weights(spec.weight), np.ones(TABLE)
    scale = 2.0 if spec.pairs == "twice" else 1.0
    if len(spec.g2):
        radial.append(_radial_block(column, ("G2",), (everything,), weights, spec.g2))
        column += len(spec.g2)
    if len(spec.g4):
        pair = (everything, everything)
        angular.append(_angular_block(column, "G4", pair, weights, scale, spec.g4))
        column += len(spec.g4)
    for channels in spec.radial_channels:
        labels = tuple(f"G2 {_label(group)}" for group in channels.groups)
        radial.append(_radial_block(column, labels, channels.groups, one, channels.grid))
        column += len(labels) * len(channels.grid)
    for channel in spec.angular_channels:
        for pair in channel.pairs:
            label = f"G4 {_label(pair[0])} {_label(pair[1])}"
            angular.append(_angular_block(column, label, pair, one, scale, channel.grid))
            column += len(channel.grid)
    return Blocks(spec=spec, radial=tuple(radial), angular=tuple(angular))


def feature_names(spec: DescriptorSpec) -> tuple[str, ...]:
    """One readable name a feature."""
    return tuple(name for _, names in _named_groups(spec) for name in names)


def feature_groups(spec: DescriptorSpec) -> dict[str, slice]:
    """Columns that belong together: G1, G2, G4, and each channel by its elements."""
    groups: dict[str, slice] = {}
    start = 0
    for label, names in _named_groups(spec):
        n_same = sum(known.split("#")[0].rstrip() == label for known in groups)
        key = label if not n_same else f"{label} #{n_same + 1}"
        groups[key] = slice(start, start + len(names))
        start += len(names)
    return groups


def _named_groups(spec: DescriptorSpec) -> Iterator[tuple[str, list[str]]]:
    found: list[tuple[int, str, list[str]]] = [(0, "G1", ["G1"])] if spec.g1 else []
    blocks = blocks_of(spec)
    for block in blocks.radial:
        for i, label in enumerate(block.labels):
            names = [f"{label} mu={m:.4g} eta={e:.4g}" for m, e in _radial_pairs(block.grid)]
            found.append((block.column + i * len(block.grid), label, names))
    for angular in blocks.angular:
        names = [
            f"{angular.label} eta={eta:.4g} lambda={lam:g} zeta={zeta:g}"
            for eta in angular.grid.eta
            for lam in angular.grid.lambdas
            for zeta in angular.grid.zeta
        ]
        found.append((angular.column, angular.label, names))
    for _, label, names in sorted(found, key=lambda group: group[0]):
        if names:
            yield label, names


def _radial_pairs(grid: RadialGrid) -> Iterator[tuple[float, float]]:
    return zip(grid.mu, grid.eta, strict=True)


def _label(group: ElementGroup) -> str:
    return "+".join(element_symbol(number) for number in group)


def _radial_block(
    column: int,
    labels: tuple[str, ...],
    groups: tuple[ElementGroup, ...],
    weight: NDArray[np.float64],
    grid: RadialGrid,
) -> RadialBlock:
    table = np.full(TABLE, -1, dtype=np.int16)
    for i, members in enumerate(groups):
        table[list(members)] = i
    return RadialBlock(column=column, labels=labels, group=table, weight=weight, grid=grid)


def _angular_block(
    column: int,
    label: str,
    pair: tuple[ElementGroup, ElementGroup],
    weight: NDArray[np.float64],
    scale: float,
    grid: AngularGrid,
) -> AngularBlock:
    sides = np.zeros((2, TABLE), dtype=np.bool_)
    for side, members in zip(sides, pair, strict=True):
        side[list(members)] = True
    return AngularBlock(
        column=column,
        label=label,
        first=sides[0],
        second=sides[1],
        same=bool((sides[0] == sides[1]).all()),
        weight=weight,
        scale=scale,
        grid=grid,
    )
