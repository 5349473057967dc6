"""The JSON form of a descriptor spec. What is read here may come from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from xas.descriptor_spec import (
    SPEC_VERSION,
    AngularChannels,
    AngularGrid,
    DescriptorSpec,
    ElementGroup,
    RadialChannels,
    RadialGrid,
)
from xas.errors import BadModel

T = TypeVar("T")

SPEC_KEYS = frozenset(field.name for field in fields(DescriptorSpec))


def to_dict(spec: DescriptorSpec) -> dict[str, Any]:
    """Plain dictionaries, lists, numbers and strings."""
    return {
        "name": spec.name,
        "version": spec.version,
        "cutoff_angstrom": spec.cutoff_angstrom,
        "g1": spec.g1,
        "weight": spec.weight,
        "clip_third": spec.clip_third,
        "pairs": spec.pairs,
        "g2": _radial_to_dict(spec.g2),
        "g4": _angular_to_dict(spec.g4),
        "radial_channels": [
            {"groups": [list(g) for g in c.groups], "grid": _radial_to_dict(c.grid)}
            for c in spec.radial_channels
        ],
        "angular_channels": [
            {"pairs": [[list(a), list(b)] for a, b in c.pairs], "grid": _angular_to_dict(c.grid)}
            for c in spec.angular_channels
        ],
    }


def from_dict(data: Mapping[str, Any]) -> DescriptorSpec:
    """The spec that ``to_dict`` wrote; BadModel where it is not one."""
    version = data.get("version") if isinstance(data, Mapping) else None
    if isinstance(version, int) and version > SPEC_VERSION:
        raise BadModel(
            f"descriptor: version {version} is newer than this edgestream knows "
            f"({SPEC_VERSION}); update edgestream"
        )
    values = _keys("the spec", data, SPEC_KEYS)
    return DescriptorSpec(
        **{key: values[key] for key in ("name", "version", "g1", "weight", "clip_third", "pairs")},
        cutoff_angstrom=_float(values["cutoff_angstrom"]),
        g2=_radial(values["g2"]),
        g4=_angular(values["g4"]),
        radial_channels=_tuple(values["radial_channels"], _radial_channels),
        angular_channels=_tuple(values["angular_channels"], _angular_channels),
    )


def _radial_to_dict(grid: RadialGrid) -> dict[str, list[float]]:
    return {"mu": list(grid.mu), "eta": list(grid.eta)}


def _angular_to_dict(grid: AngularGrid) -> dict[str, list[float]]:
    return {"eta": list(grid.eta), "lambda": list(grid.lambdas), "zeta": list(grid.zeta)}


def _keys(what: str, data: Any, expected: frozenset[str] | set[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise BadModel(f"descriptor: {what} is no object of keys and values")
    if unknown := sorted(map(str, set(data) - expected)):
        raise BadModel(f"descriptor: {what} has unknown keys: {', '.join(unknown)}")
    if missing := sorted(expected - set(data)):
        raise BadModel(f"descriptor: {what} lacks {', '.join(missing)}")
    return data


def _tuple(values: Any, read: Callable[[Any], T]) -> tuple[T, ...]:
    if not isinstance(values, list | tuple):
        raise BadModel(f"descriptor: a list was expected, not {values!r:.60}")
    return tuple(read(value) for value in values)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadModel(f"descriptor: a number was expected, not {value!r:.60}")
    return float(value)


def _element(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadModel(f"descriptor: an atomic number was expected, not {value!r:.60}")
    return value


def _group(values: Any) -> ElementGroup:
    return _tuple(values, _element)


def _pair(values: Any) -> tuple[ElementGroup, ElementGroup]:
    groups = _tuple(values, _group)
    if len(groups) != 2:
        raise BadModel(f"descriptor: a pair of element groups was expected, not {values!r:.60}")
    return groups[0], groups[1]


def _radial(data: Any) -> RadialGrid:
    found = _keys("a radial grid", data, {"mu", "eta"})
    return RadialGrid(mu=_tuple(found["mu"], _float), eta=_tuple(found["eta"], _float))


def _angular(data: Any) -> AngularGrid:
    found = _keys("an angular grid", data, {"eta", "lambda", "zeta"})
    return AngularGrid(
        eta=_tuple(found["eta"], _float),
        lambdas=_tuple(found["lambda"], _float),
        zeta=_tuple(found["zeta"], _float),
    )


def _radial_channels(data: Any) -> RadialChannels:
    found = _keys("a set of radial channels", data, {"groups", "grid"})
    return RadialChannels(groups=_tuple(found["groups"], _group), grid=_radial(found["grid"]))


def _angular_channels(data: Any) -> AngularChannels:
    found = _keys("a set of angular channels", data, {"pairs", "grid"})
    return AngularChannels(pairs=_tuple(found["pairs"], _pair), grid=_angular(found["grid"]))
