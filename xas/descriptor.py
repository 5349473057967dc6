"""A descriptor, ready to use: structures and sites in, features out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from xas.faults import CheckedStructures, checked
from xas.kernel import Kernel, choose_kernel, kernel_name
from xas.neighbours import neighbours_of_sites
from xas.structure import Sites, StructureBatch
from xas.wacsf import wacsf
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

    values   (n_sites, n_features) float64, or as ``out`` of ``featurise``
    closest  (n_sites,) float64, angstrom: the smallest distance among the absorber and its
             neighbours within the cutoff, inf where there are none; near 0 atoms coincide
    """

    values: NDArray[Any]
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
        self,
        structures: StructureBatch | CheckedStructures,
        sites: Sites,
        kernel: Kernel | None = None,
        *,
        out: NDArray[np.float32] | NDArray[np.float64] | None = None,
    ) -> Features:
        """Features of each site, in the order of ``sites``.

        A site without neighbours has zeros. Every value is finite. Given ``out``, C-contiguous
        float32 or float64 of n_features columns and n_sites rows or more, values are its first
        rows: nothing is allocated or cast, and the next call with it overwrites them.

        Raises BadStructure for a site that does not exist, for an absorber with an impossible
        number of neighbours, and for the first bad structure: of a batch, wherever it is; of
        CheckedStructures, which are not checked again, one that a site lies in.
        """
        good = checked(structures, sites, self.spec.cutoff_angstrom)
        values = self._rows(len(sites), out)
        if choose_kernel(kernel) == "c":
            return Features(values, wacsf_kernel.featurise(self._blocks, good, sites, values))
        near = neighbours_of_sites(good, sites, self.spec.cutoff_angstrom, "numpy")
        values[:], closest = wacsf(self.spec, near, "numpy")
        return Features(values, closest)

    def _rows(self, n_sites: int, out: NDArray[Any] | None) -> NDArray[Any]:
        if out is None:
            return np.empty((n_sites, self.n_features))
        fits = out.ndim == 2 and out.shape[1] == self.n_features and len(out) >= n_sites
        if not fits or out.dtype not in (np.float32, np.float64) or not out.flags.c_contiguous:
            raise ValueError(
                f"out is {out.dtype} {out.shape}; needed: C-contiguous float32 or float64 of "
                f"{n_sites} or more rows and {self.n_features} columns"
            )
        return out[:n_sites]
