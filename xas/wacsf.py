"""Weighted atom-centred symmetry functions, written for reading; the fast form is xas/_wacsf.c.

Formulas and parameters: ``xas.descriptor_spec.DescriptorSpec``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xas import wacsf_kernel
from xas.descriptor_spec import AngularGrid, DescriptorSpec, RadialGrid
from xas.kernel import Kernel, choose_kernel, kernel_name
from xas.lattice import squared_length
from xas.neighbours import Neighbours
from xas.wacsf_blocks import AngularBlock, Blocks, RadialBlock, blocks_of

__all__ = ["Kernel", "choose_kernel", "kernel_name", "wacsf"]

Array = NDArray[np.float64]


def wacsf(
    spec: DescriptorSpec, neighbours: Neighbours, kernel: Kernel | None = None
) -> tuple[Array, Array]:
    """Features of each site, and the smallest distance among absorber and neighbours.

    Returns values (n_sites, n_features) float64 and closest (n_sites,) float64, angstrom; inf
    where a site has no neighbour. Neighbours at or beyond the cutoff do not count. All values are
    finite, also where atoms coincide: the cosine of an angle without a direction is 0.
    """
    blocks = blocks_of(spec)
    if choose_kernel(kernel) == "c":
        return wacsf_kernel.from_neighbours(blocks, neighbours)
    values = np.zeros((len(neighbours), spec.n_features))
    closest = np.full(len(neighbours), np.inf)
    for i in range(len(neighbours)):
        part = slice(int(neighbours.offsets[i]), int(neighbours.offsets[i + 1]))
        closest[i] = site_features(
            blocks, neighbours.vectors[part], neighbours.numbers[part], values[i]
        )
    return values, closest


def site_features(
    blocks: Blocks, vectors: Array, numbers: NDArray[np.uint8], values: Array
) -> float:
    """Fill ``values`` (n_features,) for one site; return the smallest distance, angstrom."""
    cutoff = blocks.spec.cutoff_angstrom
    squared = squared_length(vectors)
    within = squared < cutoff**2
    vectors, numbers, squared = vectors[within], numbers[within], squared[within]
    if not len(vectors):
        return float("inf")
    fade = cutoff_function(squared, cutoff)
    if blocks.spec.g1:
        values[0] = fade.sum()
    for block in blocks.radial:
        part = radial_features(block, np.sqrt(squared), numbers, fade)
        values[block.column : block.column + part.size] = part.ravel()
    j, k = np.triu_indices(len(vectors), 1)
    between = squared_length(vectors[k] - vectors[j])
    fade_between = cutoff_function(between, cutoff)
    if blocks.spec.clip_third:
        fade_between[between >= cutoff**2] = 0.0
    for angular in blocks.angular:
        strength = pair_weights(angular, numbers[j], numbers[k]) * fade[j] * fade[k] * fade_between
        part = angular_features(
            angular.grid,
            cosine=cosines(vectors, squared, j, k),
            spread=squared[j] + squared[k] + between,
            strength=strength,
        )
        values[angular.column : angular.column + part.size] = angular.scale * part.ravel()
    return float(np.sqrt(min(squared.min(), between.min(initial=np.inf))))


def cutoff_function(squared: Array, cutoff: float) -> Array:
    """0.5 (cos(pi r / r_c) + 1) of r^2, for any r, also beyond the cutoff.

    In this form the sine of the distance to the cutoff, which keeps its relative precision where
    the textbook form cancels.
    """
    to_cutoff = (cutoff**2 - squared) / (cutoff * (cutoff + np.sqrt(squared)))
    fade: Array = np.sin(0.5 * np.pi * to_cutoff) ** 2
    return fade


def radial_features(
    block: RadialBlock, distance: Array, numbers: NDArray[np.uint8], fade: Array
) -> Array:
    """G2 of each group of elements, (n_groups, n_grid)."""
    gaussians = radial_gaussians(block.grid, distance) * (block.weight[numbers] * fade)[:, None]
    group = block.group[numbers]
    return np.stack([gaussians[group == i].sum(axis=0) for i in range(len(block.labels))])


def radial_gaussians(grid: RadialGrid, distance: Array) -> Array:
    """exp(-eta (r - mu)^2), (n_neighbours, n_grid)."""
    gaussians: Array = np.exp(-np.array(grid.eta) * (distance[:, None] - np.array(grid.mu)) ** 2)
    return gaussians


def pair_weights(block: AngularBlock, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Array:
    """w_j w_k of pairs that belong to the block, 0 of the others."""
    member = (block.first[first] & block.second[second]) | (
        block.second[first] & block.first[second]
    )
    return np.where(member, block.weight[first] * block.weight[second], 0.0)


def cosines(vectors: Array, squared: Array, j: NDArray[np.intp], k: NDArray[np.intp]) -> Array:
    """cos of the angle at the absorber, within -1..1; 0 where a neighbour lies on the absorber."""
    inverse = np.divide(1.0, np.sqrt(squared), out=np.zeros_like(squared), where=squared > 0.0)
    product: Array = (vectors[j] * vectors[k]).sum(axis=1)
    return np.clip(product * inverse[j] * inverse[k], -1.0, 1.0)


def angular_features(grid: AngularGrid, *, cosine: Array, spread: Array, strength: Array) -> Array:
    """G4, (n_eta, n_lambda, n_zeta), from (n_pairs,) arrays.

    spread is r_ij^2 + r_ik^2 + r_jk^2; strength all that depends on none of the grid.
    """
    zeta = np.array(grid.zeta)
    radial = np.exp(-np.array(grid.eta)[:, None] * spread) * strength
    base = 1.0 + np.array(grid.lambdas)[:, None] * cosine
    angle = 2.0 ** (1.0 - zeta)[:, None] * base[:, None, :] ** zeta[:, None]
    features: Array = np.einsum("ep,lzp->elz", radial, angle)
    return features
