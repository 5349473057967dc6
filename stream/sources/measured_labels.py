"""Labels from measured spectra: their part around the edge, normalised to an edge step of 1.

The structure comes beside them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.labels import Label, label_of
from stream.sources.label_options import LabelOptions
from stream.sources.measured import read_measured
from xas.edges import edge_energy_ev, element_symbol
from xas.errors import BadLabels, BadSpectrum, Reject
from xas.spectrum import fit_edge
from xas.structure import StructureBatch

BELOW_EV, ABOVE_EV = 100.0, 200.0  # wider, a sloping background hides the edge
OFF_EV = 20.0
MIN_POINTS = 20

Floats = NDArray[np.float64]


def read_xdi_label(path: Path, options: LabelOptions) -> Label:
    """The label of a measured spectrum: XDI, or columns of energy and absorption. BadLabels."""
    try:
        measured = read_measured(path)
    except BadSpectrum as error:
        raise BadLabels(str(error)) from None
    return _label(
        path, options, measured.energy_ev, measured.mu,
        name=measured.name, element=measured.element, edge=measured.edge,
    )  # fmt: skip


def read_athena(path: Path, options: LabelOptions) -> Label:
    """The label of one spectrum of an Athena project, read by xraylarch. BadLabels."""
    if importlib.util.find_spec("larch") is None:
        raise BadLabels(f"{path}: Athena projects are read by xraylarch: pip install xraylarch")
    from larch.io import read_athena as read_project

    try:
        groups = _groups(read_project(str(path), do_preedge=False, do_bkg=False, do_fft=False))
    except Exception as error:  # noqa: BLE001 - whatever the other program raises
        raise BadLabels(f"{path}: xraylarch cannot read it: {error}") from None
    name, group = _choose(path, groups, options.spectrum)
    energy, mu = (np.asarray(getattr(group, what), dtype=np.float64) for what in ("energy", "mu"))
    return _label(path, options, energy, mu, name=name, element=None, edge=None)


def _groups(project: Any) -> dict[str, Any]:
    """Label -> spectrum, of those that have an energy and an absorption."""
    groups = getattr(project, "groups", None) or {
        name: getattr(project, name) for name in dir(project) if not name.startswith("_")
    }
    spectra = {n: g for n, g in groups.items() if hasattr(g, "energy") and hasattr(g, "mu")}
    return {str(getattr(g, "label", n)): g for n, g in spectra.items()}


def _choose(path: Path, groups: dict[str, Any], wanted: str | None) -> tuple[str, Any]:
    if wanted is None and len(groups) == 1:
        return next(iter(groups.items()))
    if wanted in groups:
        return str(wanted), groups[wanted]
    said = ", ".join(groups) or "none"
    raise BadLabels(f"{path}: which of its spectra? --spectrum NAME, of: {said}")


def _label(
    path: Path,
    options: LabelOptions,
    energy: Floats,
    mu: Floats,
    *,
    name: str,
    element: str | None,
    edge: str | None,
) -> Label:
    structure = _structure_of(path, options.structure)
    symbol = element or _absorbing(path, structure, options.absorber)
    at = options.edge or edge or "K"
    near, normalised = _normalised(path, energy + options.energy_offset_ev, mu, symbol, at)
    return label_of(
        structure,
        near,
        normalised,
        absorber=symbol if options.absorber is None else options.absorber,
        edge=at,
        theory=options.theory or "measured",
        source=options.source or path.name,
        name=name,
        weight=options.weight or 1.0,
    )


def _normalised(
    path: Path, energy: Floats, mu: Floats, element: str, edge: str
) -> tuple[Floats, Floats]:
    """The part around the edge, divided by its step, without the line below it."""
    try:
        edge_ev = edge_energy_ev(element, edge)
    except Reject as error:
        raise BadLabels(f"{path}: {error}") from None
    near = (energy > edge_ev - BELOW_EV) & (energy < edge_ev + ABOVE_EV)
    if near.sum() < MIN_POINTS:
        raise BadLabels(f"{path}: {near.sum()} points around the {element} {edge} edge")
    with np.errstate(all="ignore"):
        fit = fit_edge(energy[near], mu[near])
    if not (fit.step[0] > 0 and abs(fit.edge_ev[0] - edge_ev) < OFF_EV):
        raise BadLabels(
            f"{path}: its {element} {edge} edge is not found where it should be: push it "
            "normalised, from Python (es.label)"
        )
    return energy[near], (mu[near] - fit.floor[0]) / fit.step[0]


def _absorbing(path: Path, structure: StructureBatch, absorber: int | None) -> str:
    if absorber is None or not 0 <= absorber < structure.n_atoms:
        raise BadLabels(f"{path}: which atom absorbs? --absorber INDEX")
    return element_symbol(int(structure.numbers[absorber]))


def _structure_of(path: Path, structure: StructureBatch | None) -> StructureBatch:
    if structure is None:
        raise BadLabels(f"{path}: a measured spectrum has no structure: --structure FILE")
    return structure
