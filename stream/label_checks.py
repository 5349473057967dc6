"""Whether a label can be true: checks at the edge, where it is made and where it is received.

What passes is plausible, not right: a shuffled spectrum passes. That is for the gate to find.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xas.edges import SYMBOLS, edge_energy_ev, element_symbol
from xas.errors import BadLabels, Reject
from xas.faults import check_structures
from xas.structure import StructureBatch

MIN_ENERGIES = 8
BELOW_EV, ABOVE_EV = 1_500.0, 5_000.0  # how far around the edge a grid may reach
SHIFT_EV, SHIFT_SHARE = 30.0, 0.003  # how far calculations are from the tabulated edge
AROUND_EV, MIN_POINTS = 100.0, 5  # beyond the shift, on each side of the edge
LEAST_RISE = 0.1  # of all that the spectrum spans there; white lines span several edge steps
LARGEST = 1e12
NEAREST_ANGSTROM, FARTHEST_ANGSTROM = 0.4, 6.0
CROWD = 2_000  # in larger structures only the absorber's distances are looked at

Floats = NDArray[np.float64]


def require_plausible(
    structure: StructureBatch, edge: str, energy: Floats, intensity: Floats
) -> None:
    """Raise BadLabels, with the reason, for what no calculation or measurement gives.

    structure: a batch of one, atom 0 absorbs; energy (n_energy,) eV; intensity (n_energy,).
    """
    element = element_symbol(int(structure.numbers[0]))
    try:
        edge_ev = edge_energy_ev(element, edge)
    except Reject as error:
        raise BadLabels(str(error)) from None
    _require_grid(energy)
    _require_near(energy, element, edge, edge_ev)
    _require_spectrum(energy, intensity, element, edge, edge_ev)
    _require_structure(structure)


def _require_grid(energy: Floats) -> None:
    if len(energy) < MIN_ENERGIES:
        raise BadLabels(f"it has {len(energy)} energies; at least {MIN_ENERGIES} are needed")
    if not np.isfinite(energy).all():
        raise BadLabels("its energies are not all finite")
    if (np.diff(energy) <= 0).any():
        at = int(np.argmax(np.diff(energy) <= 0))
        raise BadLabels(
            f"its energies do not rise: {energy[at]:g} is followed by {energy[at + 1]:g} eV"
        )


def _require_near(energy: Floats, element: str, edge: str, edge_ev: float) -> None:
    if _is_near(energy, edge_ev):
        return
    low, high = float(energy[0]), float(energy[-1])
    said = f"its energies, {low:g} to {high:g} eV, are not those of the {element} {edge} edge"
    said += f" ({edge_ev:g} eV)"
    if _is_near(1000.0 * energy, edge_ev):
        raise BadLabels(f"{said}: they are in keV; give eV")
    if _is_near(energy + edge_ev, edge_ev) and low < 0.0:
        raise BadLabels(f"{said}: they are relative to an edge; add its energy")
    others = _edges_near(energy)
    raise BadLabels(said + (f", but of {', '.join(others)}" if others else ""))


def _is_near(energy: Floats, edge_ev: float) -> bool:
    low, high, shift = energy[0], energy[-1], _shift_ev(edge_ev)
    inside = edge_ev - BELOW_EV <= low and high <= edge_ev + ABOVE_EV
    return bool(inside and low <= edge_ev + shift and high >= edge_ev - shift)


def _shift_ev(edge_ev: float) -> float:
    return SHIFT_EV + SHIFT_SHARE * edge_ev


def _edges_near(energy: Floats) -> list[str]:
    """The K and L3 edges that the energies begin shortly before."""
    found = []
    for symbol in SYMBOLS[3:95]:
        for edge in ("K", "L3"):
            try:
                at = edge_energy_ev(symbol, edge)
            except Reject:
                continue
            if energy[0] - 10.0 <= at <= min(energy[0] + 300.0, energy[-1]):
                found.append(f"{symbol} {edge} ({at:g} eV)")
    return found[:3]


def _require_spectrum(
    energy: Floats, intensity: Floats, element: str, edge: str, edge_ev: float
) -> None:
    if not np.isfinite(intensity).all():
        raise BadLabels("its spectrum is not finite")
    if np.abs(intensity).max() > LARGEST:
        raise BadLabels(f"its spectrum reaches beyond {LARGEST:g}")
    if intensity.sum() <= 0:
        raise BadLabels("the sum of its spectrum is not positive")
    if np.ptp(intensity) == 0:
        raise BadLabels("its spectrum is constant")
    if not _rises_at(edge_ev, energy, intensity):
        raise BadLabels(f"its spectrum does not rise at the {element} {edge} edge ({edge_ev:g} eV)")


def _rises_at(edge_ev: float, energy: Floats, intensity: Floats) -> bool:
    """Whether there is more shortly above the edge than below; true where the grid is too short."""
    shift, away = _shift_ev(edge_ev), energy - edge_ev
    near = np.abs(away) <= shift + AROUND_EV
    below, above = intensity[near & (away < -shift)], intensity[near & (away > shift)]
    if min(len(below), len(above)) < MIN_POINTS:
        return True
    rise = float(np.median(above) - np.median(below))
    return rise > LEAST_RISE * float(np.ptp(intensity[near]))


def _require_structure(structure: StructureBatch) -> None:
    if fault := check_structures(structure)[0]:
        raise BadLabels(f"its structure: {fault}")
    if (structure.numbers == 0).any():
        raise BadLabels("its structure has an atom of no element")
    _require_distances(structure)


def _require_distances(structure: StructureBatch) -> None:
    positions = structure.positions.astype(np.float64)
    if len(positions) < 2:
        return
    n_looked_at = len(positions) if len(positions) <= CROWD else 1
    away = _to_nearest(positions, n_looked_at)
    if (least := away.min()) < NEAREST_ANGSTROM:
        raise BadLabels(
            f"its structure: another atom lies {least:.2f} angstrom from atom {away.argmin()}; "
            "positions are in angstrom"
        )
    if structure.cells is None and away[0] > FARTHEST_ANGSTROM:
        raise BadLabels(
            f"its structure: no atom within {FARTHEST_ANGSTROM:g} angstrom of the absorber; "
            "positions are in angstrom"
        )


def _to_nearest(positions: Floats, n: int) -> Floats:
    """From each of the first n atoms to the nearest other, angstrom, (n,)."""
    away = np.empty(n)
    for first in range(0, n, 128):
        part = positions[first : min(first + 128, n)]
        squares = ((part[:, None] - positions[None]) ** 2).sum(axis=2)
        squares[np.arange(len(part)), first + np.arange(len(part))] = np.inf
        away[first : first + len(part)] = np.sqrt(squares.min(axis=1))
    return away
