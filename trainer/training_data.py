"""Labels of the archive as training data: the same type that an npz file gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.labels import Label
from trainer.archive import Labels, formulas
from xas.errors import BadLabels
from xas.structure import Sites, StructureBatch

Floats = NDArray[np.float64]


def training_data(
    labels: Sequence[Label], *, file: str, sha256: str, energy: Floats | None = None
) -> Labels:
    """Labels of one element, edge and theory, on one energy grid.

    energy: the grid, (n_energy,) eV; None: that of the labels, where they share one. Spectra on
    other grids are interpolated linearly. Groups are those that the labels name, else formulas.
    Raises BadLabels where a training cannot learn them together, and says why.
    """
    if not labels:
        raise BadLabels(f"{file}: holds no labels")
    element, edge, theory = (_the_one(file, what, labels) for what in ("element", "edge", "theory"))
    grid = _grid(file, labels) if energy is None else np.asarray(energy, dtype=np.float64)
    batch = StructureBatch.concatenate([label.structure() for label in labels])
    given = np.array([label.group for label in labels], dtype=np.str_)
    return Labels(
        file=file,
        sha256=sha256,
        element=element,
        batch=batch,
        sites=Sites(np.arange(len(labels)), np.zeros(len(labels), dtype=np.int64)),
        energy=grid,
        intensity=np.array([_spectrum_on(grid, label) for label in labels]),
        names=np.array([label.title for label in labels], dtype=np.str_),
        groups=np.where(given == "", formulas(batch), given),
        grouped_by=_grouped_by(given),
        weights=np.array([label.weight for label in labels]),
        edge=edge,
        theory=theory,
    )


def _the_one(file: str, what: str, labels: Sequence[Label]) -> str:
    found = sorted({str(getattr(label, what)) for label in labels})
    if len(found) > 1:
        said = ", ".join(f"{name or 'not stated'!r}" for name in found[:5])
        raise BadLabels(f"{file}: its {what} is {said}: one training learns one, choose it")
    return found[0]


def _grid(file: str, labels: Sequence[Label]) -> Floats:
    grids = {bytes(label.energy.data): label for label in labels}
    if len(grids) > 1:
        said = "; ".join(
            f"{e[0]:g} to {e[-1]:g} eV in {len(e)} points"
            for e in (label.spectrum()[0] for label in list(grids.values())[:3])
        )
        raise BadLabels(f"{file}: has {len(grids)} energy grids ({said}): name the one to learn")
    return labels[0].spectrum()[0].copy()


def _spectrum_on(grid: Floats, label: Label) -> Floats:
    energy, intensity = label.spectrum()
    if np.array_equal(energy, grid):
        return intensity
    if energy[0] > grid[0] or energy[-1] < grid[-1]:
        raise BadLabels(
            f"label {label.title}: its energies, {energy[0]:g} to {energy[-1]:g} eV, do not cover "
            f"{grid[0]:g} to {grid[-1]:g} eV"
        )
    return np.interp(grid, energy, intensity)


def _grouped_by(groups: NDArray[np.str_]) -> str:
    named = groups != ""
    if named.all():
        return "material"
    return "material or formula" if named.any() else "formula"
