"""Element symbols as files write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xas.edges import atomic_number
from xas.errors import Reject

_LABEL = re.compile(r"([A-Za-z]{1,2})(?:[\d_+/\-].*)?")
_ISOTOPES = {"D": 1, "T": 1}


class UnknownSymbol(LookupError):
    """A symbol of no element, and what to do about it."""

    def __init__(self, symbol: str, remedy: str) -> None:
        super().__init__(f"unknown element '{symbol}'; {remedy}")


class SymbolTable(dict[str, int]):
    """Atomic numbers by symbol: Fe, FE, Fe1, Fe_pv; D and T are hydrogen; X is a dummy, 0.

    types    atomic numbers by the integer types that LAMMPS writes
    lenient  anything unknown counts as 0, for a topology to replace
    """

    def __init__(self, types: Mapping[int, str] | None = None, *, lenient: bool = False) -> None:
        super().__init__(_ISOTOPES)
        self._types = dict(types or {})
        self._lenient = lenient

    def __missing__(self, symbol: str) -> int:
        self[symbol] = number = self._resolve(symbol)
        return number

    def _resolve(self, symbol: str) -> int:
        if self._lenient:
            return 0
        if symbol.isascii() and symbol.isdigit():
            return self._of_type(int(symbol))
        label = _LABEL.fullmatch(symbol)
        number = None if label is None else _number(label[1])
        if number is None:
            raise UnknownSymbol(symbol, "write element symbols")
        return number

    def _of_type(self, kind: int) -> int:
        if kind not in self._types:
            raise UnknownSymbol(
                str(kind), f"name the types, e.g. --types {kind}=Fe (given: {self._given()})"
            )
        number = _number(self._types[kind])
        if number is None:
            raise UnknownSymbol(self._types[kind], f"type {kind} must be an element symbol")
        return number

    def _given(self) -> str:
        return ",".join(f"{kind}={name}" for kind, name in self._types.items()) or "none"


def _number(symbol: str) -> int | None:
    """The atomic number of a symbol, None where there is none; X is a site without an atom."""
    if symbol.upper() == "X":
        return 0
    try:
        return atomic_number(symbol)
    except Reject:
        return None
