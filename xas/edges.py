"""Elements and absorption edges: symbols, atomic numbers, edge energies."""

from __future__ import annotations

from functools import lru_cache

from xas.errors import Reject

# fmt: off
SYMBOLS = (
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn",
    "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
)
# fmt: on
"""Index = atomic number; 0 is a site without an atom, as in ASE."""

_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def element_symbol(number: int) -> str:
    """The symbol of an atomic number (0: "X"); Reject outside 0..118."""
    if not 0 <= number < len(SYMBOLS):
        raise Reject(f"no element has the atomic number {number}")
    return SYMBOLS[number]


def atomic_number(symbol: str) -> int:
    """The atomic number of a symbol, in any case of letters; Reject where there is none."""
    number = _NUMBERS.get(symbol.strip().capitalize(), 0)
    if not number:
        raise Reject(f"no element has the symbol {symbol!r}")
    return number


@lru_cache(maxsize=256)
def edge_energy_ev(symbol: str, edge: str = "K") -> float:
    """The tabulated energy of an absorption edge, eV (xraydb: Elam, Ravel and Sieber 2002).

    Fe K gives 7112. Raises Reject for an edge that the element does not have.
    """
    import xraydb  # here, since it takes a second to import and most commands need no edge

    element = element_symbol(atomic_number(symbol))
    found = xraydb.xray_edges(element)
    if edge not in found:
        raise Reject(f"{element} has no edge {edge!r}; it has {', '.join(found) or 'none'}")
    return float(found[edge].energy)
