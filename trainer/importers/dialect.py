"""The dialects of the XANESNET programs: what their descriptors are called, and ours for it.

Facts about the three programs, with the numbers they computed, lie in the project's golden data;
none of their code is used.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from xas.descriptor import DescriptorSpec
from xas.descriptor_spec import MAX_CUTOFF_ANGSTROM, Weight
from xas.errors import BadModel

Dialect = Literal["newcastle", "redux", "conexs"]

_WEIGHT: dict[Dialect, Weight] = {"newcastle": "0.1Z", "redux": "Z", "conexs": "0.1Z"}
_CLIPS_THIRD: dict[Dialect, bool] = {"newcastle": False, "redux": False, "conexs": True}


class WacsfParameters(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A wACSF descriptor by the names that the XANESNET programs give its parameters.

    r_min, r_max in angstrom; l: lambda, z: zeta. The defaults are theirs, and None stands for them.
    """

    type: Literal["wacsf"] = "wacsf"
    r_min: float = 1.0
    r_max: float = 6.0
    n_g2: int = 16
    n_g4: int = 32
    l: tuple[float, ...] | None = None  # noqa: E741 - the name in their files
    z: tuple[float, ...] | None = None
    g2_parameterisation: str = "shifted"
    g4_parameterisation: str = "centred"
    absorber_atom_only: bool = True
    use_spin: bool = False
    use_charge: bool = False

    def spec(self, dialect: Dialect, where: str) -> DescriptorSpec:
        """The descriptor, without spin and charge; BadModel, naming ``where``, if not supported."""
        if fault := self._fault():
            raise BadModel(f"{where}: descriptor: {fault}")
        try:
            return self._spec(dialect)
        except BadModel as error:
            raise BadModel(f"{where}: {error}") from None

    def _spec(self, dialect: Dialect) -> DescriptorSpec:
        return DescriptorSpec.xanesnet(
            r_min=self.r_min,
            r_max=self.r_max,
            n_g2=self.n_g2,
            n_g4=self.n_g4,
            lambdas=(1.0, -1.0) if self.l is None else self.l,
            zetas=(1.0,) if self.z is None else self.z,
            weight=_WEIGHT[dialect],
            clip_third=_CLIPS_THIRD[dialect],
        )

    def _fault(self) -> str | None:
        kinds = (self.g2_parameterisation, self.g4_parameterisation)
        if kinds != ("shifted", "centred"):
            return (
                f"G2 {kinds[0]!r} with G4 {kinds[1]!r} was never compared with the original "
                "program and is not imported; only G2 'shifted' with G4 'centred' is"
            )
        if not self.absorber_atom_only:
            return "features of every atom (absorber_atom_only: false) are not imported"
        if max(self.n_g2, self.n_g4) > 10_000 or min(self.n_g2, self.n_g4) < 0:
            return f"n_g2 {self.n_g2} or n_g4 {self.n_g4} does not lie in 0..10000"
        if self.l == () or self.z == ():
            return "l or z is empty; null stands for [1, -1] and [1]"
        if not 0.0 <= self.r_min < self.r_max - 1.5 <= MAX_CUTOFF_ANGSTROM:
            return f"r_min {self.r_min} and r_max {self.r_max} angstrom leave no room for functions"
        return None


def dialect_of(name: str) -> Dialect:
    """The dialect of that name; BadModel, naming them, where there is none."""
    for known in _WEIGHT:
        if known == name:
            return known
    raise BadModel(f"no dialect {name!r}; there are {', '.join(_WEIGHT)}")


def spec_of(data: Any, where: str) -> DescriptorSpec:
    """A descriptor written by hand: all of ``DescriptorSpec.to_dict``, or a dialect's parameters.

    {"dialect": "redux", "r_min": 0, "r_max": 6, "n_g2": 32, "n_g4": 64, "z": [1, 2, 4, 8]}
    """
    if not isinstance(data, dict):
        raise BadModel(f"{where}: the descriptor is no object of keys and values")
    if "dialect" not in data:
        return DescriptorSpec.from_dict(data)
    dialect = dialect_of(str(data["dialect"]))
    given = {key: value for key, value in data.items() if key != "dialect"}
    try:
        parameters = msgspec.convert(given, WacsfParameters)
    except msgspec.ValidationError as error:
        raise BadModel(f"{where}: descriptor: {error}") from None
    if parameters.use_spin or parameters.use_charge:
        raise BadModel(f"{where}: descriptor: spin and charge are no features of a structure here")
    return parameters.spec(dialect, where)
