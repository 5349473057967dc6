"""A descriptor, ready to use: structures and sites in, features out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas import wacsf_kernel
from xas.descriptor_spec import (
    AngularChannels,
    AngularGrid,
    DescriptorSpec,
    RadialChannels,
    RadialGrid,
)
from xas.neighbours import neighbours_of_sites, require_good
from xas.structure import Sites, StructureBatch
from xas.wacsf import Kernel, choose_kernel, kernel_name, wacsf
from xas.wacsf_blocks import blocks_of, feature_groups, feature_names

__all__ = [
    "AngularChannels",
    "AngularGrid",
    "Descriptor",
    "DescriptorSpec",
    "Features",
    "RadialChannels",
    "RadialGrid",
]


@dataclass(frozen=True, slots=True)
class Features:
    """What a model sees of each site.

    values   (n_sites, n_features) float64
    closest  (n_sites,) float64, angstrom: the smallest distance among the absorber and its
             neighbours within the cutoff, inf where there are none; near 0 atoms coincide
    """

    values: NDArray[np.float64]
    closest: NDArray[np.float64]


class Descriptor:
    """Computes the features of one spec; holds no state, may be shared by threads."""

    def __init__(self, spec: DescriptorSpec) -> None:
        self.spec = spec
        self._blocks = blocks_of(spec)

    @property
    def n_features(self) -> int:
        """Features a site."""
        return self.spec.n_features

    @property
    def names(self) -> tuple[str, ...]:
        """One readable name a feature."""
        return feature_names(self.spec)

    @property
    def groups(self) -> dict[str, slice]:
        """The columns of G1, G2, G4 and of each element channel."""
        return feature_groups(self.spec)

    @property
    def kernel(self) -> str:
        """Which code computes: "c (avx512)", "c (avx2)", "c (generic)" or "numpy"."""
        return kernel_name()

    def featurise(
        self, batch: StructureBatch, sites: Sites, kernel: Kernel | None = None
    ) -> Features:
        """Features of each site, in the order of ``sites``.

        A site without neighbours has zeros. Every value is finite. Raises BadStructure for the
        first structure of the batch that ``neighbours.check_structures`` finds bad, for a site
        that does not exist and for an absorber with an impossible number of neighbours.
        """
        if choose_kernel(kernel) == "numpy":
            near = neighbours_of_sites(batch, sites, self.spec.cutoff_angstrom)
            return Features(*wacsf(self.spec, near, "numpy"))
        require_good(batch, sites, self.spec.cutoff_angstrom)
        return Features(*wacsf_kernel.featurise(self._blocks, batch, sites))
