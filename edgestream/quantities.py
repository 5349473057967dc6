"""Words of the command line with a meaning: times, elements, atom indices, LAMMPS types."""

from __future__ import annotations

import re

from xas.edges import atomic_number, element_symbol
from xas.errors import Reject

_FEMTOSECONDS = {"as": 1e-3, "fs": 1.0, "ps": 1e3, "ns": 1e6}


def time_fs(text: str) -> float:
    """A time such as 4fs or 0.5ps, in femtoseconds."""
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(as|fs|ps|ns)\s*", text)
    try:
        value = float(found[1]) * _FEMTOSECONDS[found[2]] if found else 0.0
    except ValueError:
        value = 0.0
    if not value > 0.0:
        raise Reject(f"{text!r} is no time: write a number and as, fs, ps or ns, e.g. 4fs")
    return value


def lammps_types(text: str) -> dict[int, str]:
    """1=Fe,2=O as a table from types to symbols."""
    types = {}
    for word in text.split(","):
        number, _, symbol = word.partition("=")
        if not number.strip().isdigit() or not symbol:
            raise Reject(f"--types {text!r}: write it as 1=Fe,2=O")
        types[int(number)] = element_symbol(atomic_number(symbol))
    return types


def atom_indices(absorber: str | None) -> list[int] | None:
    """0,17 as indices; None where an element is named, or nothing."""
    if absorber is None or not re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", absorber):
        return None
    indices = [int(word) for word in absorber.split(",")]
    if len(set(indices)) != len(indices):
        raise Reject(f"--absorber {absorber!r} names an atom twice")
    return sorted(indices)


def element_or_none(absorber: str | None) -> str | None:
    """The symbol where an element is named; Reject for what is neither element nor indices."""
    if absorber is None or atom_indices(absorber) is not None:
        return None
    return element_symbol(atomic_number(absorber))


def part(text: str) -> float:
    """10% or 0.1 as a number from 0 to 1."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(found[1]) / (100.0 if found[2] else 1.0) if found else -1.0
    if not 0.0 <= value <= 1.0:
        raise Reject(f"--share {text!r}: write a part of the frames, e.g. 10%")
    return value
