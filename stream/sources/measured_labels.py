"""Labels from measured spectra, normalised to an edge step of 1; their structure comes beside."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.labels import Label, label_of
from stream.sources.label_options import LabelOptions
from stream.sources.measured import read_measured
from xas.errors import BadLabels, BadSpectrum
from xas.spectrum import normalise
from xas.structure import StructureBatch

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
    normalised = normalise(energy, mu, remove_floor=True)[0]
    if not np.isfinite(normalised).all():
        raise BadLabels(f"{path}: no edge step was found in it")
    return label_of(
        _structure_of(path, options.structure),
        energy + options.energy_offset_ev,
        normalised,
        absorber=element if options.absorber is None else options.absorber,
        edge=options.edge or edge or "K",
        theory=options.theory or "measured",
        source=options.source or path.name,
        name=name,
        weight=options.weight or 1.0,
    )


def _structure_of(path: Path, structure: StructureBatch | None) -> StructureBatch:
    if structure is None:
        raise BadLabels(f"{path}: a measured spectrum has no structure: --structure FILE")
    return structure
