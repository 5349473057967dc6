"""What a wACSF descriptor is: every parameter of it, and its JSON form.

Programs in the wild differ in the weight of an element, in whether the third distance of a triangle
is cut off, in counting pairs once or twice and in the grids. All of that is data here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from xas.errors import BadModel

Weight = Literal["one", "0.1Z", "Z"]
Pairs = Literal["once", "twice"]
ElementGroup = tuple[int, ...]

SPEC_VERSION = 1
MAX_FEATURES = 100_000
MAX_ZETA = 1024.0
MAX_CUTOFF_ANGSTROM = 100.0


def _refuse(reason: str) -> BadModel:
    return BadModel(f"descriptor: {reason}")


def _numbers(name: str, values: Iterable[Any], low: float, high: float) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _refuse(f"{name} holds {value!r}, which is no number")
        if not low <= value <= high or not math.isfinite(value):
            raise _refuse(f"{name} = {value} does not lie in {low:g}..{high:g}")


def _elements(group: ElementGroup) -> None:
    if not group or len(set(group)) != len(group):
        raise _refuse(f"the element group {list(group)} is empty or names an element twice")
    for number in group:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 118:
            raise _refuse(f"{number!r} in an element group is no atomic number")


@dataclass(frozen=True, slots=True, kw_only=True)
class RadialGrid:
    """Gaussians exp(-eta (r - mu)^2): feature i has mu[i] (angstrom) and eta[i] (1/angstrom^2)."""

    mu: tuple[float, ...] = ()
    eta: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.mu) != len(self.eta):
            raise _refuse(f"{len(self.mu)} values of mu but {len(self.eta)} of eta; they are pairs")
        _numbers("mu", self.mu, -1e3, 1e3)
        _numbers("eta", self.eta, 0.0, 1e6)

    def __len__(self) -> int:
        return len(self.mu)

    @classmethod
    def shifted(cls, first: float, last: float, n: int) -> Self:
        """``n`` Gaussians from ``first`` to ``last`` angstrom, eta = 1/(2 dmu^2).

        Gastegger et al., J. Chem. Phys. 148, 241709 (2018), section II C.
        """
        mu = np.linspace(first, last, n)
        if n < 2 or mu[1] <= mu[0]:
            raise _refuse(f"a shifted grid needs 2 or more rising centres, not {first}..{last}/{n}")
        eta = 1.0 / (2.0 * (mu[1] - mu[0]) ** 2)
        return cls(mu=tuple(mu.tolist()), eta=(float(eta),) * n)


@dataclass(frozen=True, slots=True, kw_only=True)
class AngularGrid:
    """Every combination of eta (outermost), lambda and zeta (innermost); mu is 0 ("centred")."""

    eta: tuple[float, ...] = ()
    lambdas: tuple[float, ...] = (1.0, -1.0)
    zeta: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        _numbers("eta", self.eta, 0.0, 1e6)
        _numbers("lambda", self.lambdas, -1.0, 1.0)
        _numbers("zeta", self.zeta, 1e-3, MAX_ZETA)

    def __len__(self) -> int:
        return len(self.eta) * len(self.lambdas) * len(self.zeta)

    @classmethod
    def centred(
        cls, radii: Iterable[float], lambdas: Iterable[float], zeta: Iterable[float]
    ) -> Self:
        """One eta = 1/(2 r^2) a radius (angstrom)."""
        eta = tuple(1.0 / (2.0 * float(r) ** 2) for r in radii)
        return cls(eta=eta, lambdas=tuple(map(float, lambdas)), zeta=tuple(float(z) for z in zeta))


@dataclass(frozen=True, slots=True, kw_only=True)
class RadialChannels:
    """The same radial grid for each group of elements by itself, every neighbour with weight 1."""

    groups: tuple[ElementGroup, ...]
    grid: RadialGrid

    def __post_init__(self) -> None:
        for group in self.groups:
            _elements(group)
        members = [number for group in self.groups for number in group]
        if len(set(members)) != len(members):
            raise _refuse("an element belongs to two groups of one set of radial channels")


@dataclass(frozen=True, slots=True, kw_only=True)
class AngularChannels:
    """The same angular grid for each pair of element groups by itself, with weight 1.

    A pair is of one group twice (then each two neighbours count once, as in G4) or of two groups
    without a common element.
    """

    pairs: tuple[tuple[ElementGroup, ElementGroup], ...]
    grid: AngularGrid

    def __post_init__(self) -> None:
        for first, second in self.pairs:
            _elements(first)
            _elements(second)
            if set(first) != set(second) and set(first) & set(second):
                raise _refuse(f"the groups {list(first)} and {list(second)} overlap in part")


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorSpec:
    """All parameters of a wACSF descriptor; frozen, hashable, equal where features are equal.

    With f_c(r) = 0.5 (cos(pi r / r_c) + 1), i the absorber and j < k its neighbours (r < r_c):

        G1                  = sum_j f_c(r_ij)
        G2[mu, eta]         = sum_j w_j exp(-eta (r_ij - mu)^2) f_c(r_ij)
        G4[eta, lam, zeta]  = 2^(1-zeta) sum_{j<k} w_j w_k (1 + lam cos theta_jik)^zeta
                              exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) f_c(r_ij) f_c(r_ik) f_c(r_jk)

    Gastegger et al., J. Chem. Phys. 148, 241709 (2018), eqs. 1-7; Rankine and Penfold, J. Chem.
    Phys. 156, 164102 (2022).

    weight      w of an element: "one", "0.1Z" or "Z"
    clip_third  True: f_c(r_jk) = 0 beyond r_c, as published; False: the cosine rises again, as some
                programs compute it
    pairs       "once": j < k; "twice": j != k, which doubles every angular feature

    The features come in the order G1, G2, G4, radial channels, angular channels; the channels are
    the same sums over the neighbours of some elements only, with w = 1. G1 carries no weight.

    Raises BadModel for parameters out of their range.
    """

    name: str = "wacsf"
    version: int = SPEC_VERSION
    cutoff_angstrom: float = 6.0
    g1: bool = True
    weight: Weight = "Z"
    clip_third: bool = True
    pairs: Pairs = "once"
    g2: RadialGrid = RadialGrid()
    g4: AngularGrid = AngularGrid()
    radial_channels: tuple[RadialChannels, ...] = ()
    angular_channels: tuple[AngularChannels, ...] = ()

    def __post_init__(self) -> None:
        if self.name != "wacsf":
            raise _refuse(f"the kind {self.name!r} is unknown here; known: 'wacsf'")
        if type(self.version) is not int or not 1 <= self.version <= SPEC_VERSION:
            raise _refuse(
                f"version {self.version!r} is not known here (newest: {SPEC_VERSION}); "
                "update edgestream"
            )
        _numbers("cutoff_angstrom", [self.cutoff_angstrom], 0.1, MAX_CUTOFF_ANGSTROM)
        if type(self.g1) is not bool or type(self.clip_third) is not bool:
            raise _refuse("g1 and clip_third must be true or false")
        if self.weight not in get_args(Weight) or self.pairs not in get_args(Pairs):
            raise _refuse(f"weight {self.weight!r} or pairs {self.pairs!r} is not known")
        if not 1 <= self.n_features <= MAX_FEATURES:
            raise _refuse(f"{self.n_features} features; 1 to {MAX_FEATURES} are possible")

    @property
    def n_features(self) -> int:
        """Features a site."""
        radial = sum(len(c.groups) * len(c.grid) for c in self.radial_channels)
        angular = sum(len(c.pairs) * len(c.grid) for c in self.angular_channels)
        return int(self.g1) + len(self.g2) + len(self.g4) + radial + angular

    @classmethod
    def xanesnet(
        cls,
        *,
        r_min: float = 0.0,
        r_max: float = 6.0,
        n_g2: int = 32,
        n_g4: int = 64,
        lambdas: tuple[float, ...] = (1.0, -1.0),
        zetas: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0),
        weight: Weight = "Z",
        clip_third: bool = True,
    ) -> Self:
        """The grids of the XANESNET programs, which differ in ``weight`` and ``clip_third``.

        G2: mu from r_min + 0.5 to r_max - 0.5. G4: eta = 1/(2 r^2) on n_g4 radii from r_min + 1 to
        r_max - 0.5, of which the first n_g4 / (n_lambdas n_zetas) are used.
        """
        radii = np.linspace(r_min + 1.0, r_max - 0.5, n_g4)
        used = n_g4 // (len(lambdas) * len(zetas))
        return cls(
            cutoff_angstrom=r_max,
            weight=weight,
            clip_third=clip_third,
            g2=RadialGrid.shifted(r_min + 0.5, r_max - 0.5, n_g2) if n_g2 else RadialGrid(),
            g4=AngularGrid.centred(radii[:used], lambdas, zetas),
        )

    @classmethod
    def paper_2022(cls) -> Self:
        """The 97 features of Rankine and Penfold (2022): G1, 32 G2, 64 G4 within 6 angstrom."""
        return cls.xanesnet()

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON can hold it; ``from_dict`` gives back an equal spec, bit for bit."""
        from xas.descriptor_json import to_dict

        return to_dict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> DescriptorSpec:
        """Read ``to_dict``'s form. Unknown or missing keys and newer versions raise BadModel."""
        from xas.descriptor_json import from_dict

        return from_dict(data)
