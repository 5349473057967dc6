"""Names of features that a chemist reads: "Fe-O radial, 2.1 angstrom"."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from xas.descriptor_spec import AngularGrid, DescriptorSpec
from xas.edges import element_symbol
from xas.wacsf_blocks import AngularBlock, RadialBlock, blocks_of

MOST_NAMED = 4
"""Elements of a group that are named; a larger group is "another element"."""


def feature_words(spec: DescriptorSpec, absorber: str) -> tuple[str, ...]:
    """One name a feature, in the order of the columns.

    radial: neighbours of that element around that distance; angular: pairs of neighbours with the
    absorber between them, both within about that distance, that see each other under a narrow or a
    wide angle, the more strictly the larger the sharpness (zeta).
    """
    named = {0: [f"{absorber}: number of neighbours"]} if spec.g1 else {}
    blocks = blocks_of(spec)
    for radial in blocks.radial:
        named[radial.column] = list(_radial(radial, absorber, spec))
    for angular in blocks.angular:
        named[angular.column] = list(_angular(angular, absorber, spec))
    return _distinct([word for _, words in sorted(named.items()) for word in words])


def kind_of(word: str) -> str:
    """What a feature looks at, without the where: "Fe-O radial"."""
    return re.split(r"[,:]", word)[0]


def _radial(block: RadialBlock, absorber: str, spec: DescriptorSpec) -> Iterator[str]:
    for i in range(len(block.labels)):
        who = _elements(block.group == i, spec)
        for mu, eta in zip(block.grid.mu, block.grid.eta, strict=True):
            where = f"{mu:.2f} angstrom" if mu else f"within {_width(eta):.1f} angstrom"
            yield f"{absorber}-{who} radial, {where}"


def _angular(block: AngularBlock, absorber: str, spec: DescriptorSpec) -> Iterator[str]:
    first, second = (_elements(side, spec) for side in (block.first, block.second))
    for eta, lam, zeta in _angular_grid(block.grid):
        angle = "narrow" if lam > 0.0 else "wide"
        yield (
            f"{first}-{absorber}-{second} angular, {angle}, within {_width(eta):.1f} angstrom, "
            f"sharpness {zeta:g}"
        )


def _angular_grid(grid: AngularGrid) -> Iterator[tuple[float, float, float]]:
    return ((e, lam, zeta) for e in grid.eta for lam in grid.lambdas for zeta in grid.zeta)


def _width(eta: float) -> float:
    """Of a Gaussian exp(-eta r^2) = exp(-r^2 / (2 width^2)), angstrom."""
    return float(1.0 / np.sqrt(2.0 * eta)) if eta > 0.0 else float("inf")


def _elements(members: np.ndarray, spec: DescriptorSpec) -> str:
    numbers = [int(z) for z in np.flatnonzero(members) if 1 <= z <= 118]
    if len(numbers) == 118:
        return "any" if spec.weight == "one" else f"any (weighted by {spec.weight})"
    if len(numbers) > MOST_NAMED:
        return "other"
    return "/".join(element_symbol(z) for z in numbers)


def _distinct(words: list[str]) -> tuple[str, ...]:
    """Grids may hold a feature twice over: a number tells them apart."""
    seen: dict[str, int] = {}
    out = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        out.append(word if seen[word] == 1 else f"{word} #{seen[word]}")
    return tuple(out)
