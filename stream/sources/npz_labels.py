"""Labels from npz files: ragged structures, each with a spectrum.

``numbers``, ``positions`` (angstrom), ``offsets``, ``mu`` (n, n_energy), ``energy`` (n_energy,) eV,
the absorber first in each structure; perhaps ``name``, ``material`` (the group), ``weight``,
``edge``, ``theory``, ``source`` (n,), ``cell`` (n, 3, 3), ``pbc`` (n, 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream.labels import Label, label_of
from stream.sources.label_options import LabelOptions, NoLabel
from xas.errors import BadLabels, BadStructure
from xas.npz import plain_arrays
from xas.structure import StructureBatch

NEEDED = ("numbers", "positions", "offsets", "mu", "energy")
TEXTS = ("edge", "theory", "source", "name", "material")
KNOWN = (*NEEDED, *TEXTS, "weight", "cell", "pbc")


def read_npz(path: Path, options: LabelOptions) -> Iterator[Label | NoLabel]:
    """Each label of the file, or why it is none; BadLabels where the file cannot be read at all."""
    arrays = _arrays(path)
    structures = _structures(path, arrays)
    n = len(structures)
    _require_shapes(path, arrays, n)
    if options.theory is None and "theory" not in arrays:
        raise BadLabels(f"{path}: does not say its level of theory: --theory FDMNES, for example")
    energy = arrays["energy"] + options.energy_offset_ev
    for i, structure in enumerate(structures):
        texts = {what: str(arrays[what][i]) for what in TEXTS if what in arrays}
        name = texts.get("name") or texts.get("material") or f"{path.stem} {i}"
        weight = options.weight or float(arrays["weight"][i] if "weight" in arrays else 1.0)
        try:
            yield label_of(
                structure,
                energy,
                arrays["mu"][i],
                absorber=0,
                edge=options.edge or texts.get("edge") or "K",
                theory=options.theory or texts.get("theory", ""),
                source=options.source or texts.get("source") or path.name,
                name=name,
                group=texts.get("material", ""),
                weight=weight,
            )
        except BadLabels as error:
            yield NoLabel(name=name, reason=str(error))


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            arrays = plain_arrays(file, KNOWN)
    except OSError as error:
        raise BadLabels(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise BadLabels(f"{path}: not an npz file of plain arrays: {error}") from None
    if missing := [key for key in NEEDED if key not in arrays]:
        raise BadLabels(f"{path}: lacks the arrays {', '.join(missing)}")
    return arrays


def _structures(path: Path, arrays: dict[str, Any]) -> StructureBatch:
    try:
        atoms = (arrays.get(key) for key in (*NEEDED[:3], "cell", "pbc"))
        return StructureBatch.from_arrays(*atoms)
    except (BadStructure, ValueError, TypeError) as error:
        raise BadLabels(f"{path}: {error}") from None


def _require_shapes(path: Path, arrays: dict[str, Any], n: int) -> None:
    mu, energy = arrays["mu"], arrays["energy"]
    if energy.ndim != 1 or energy.dtype.kind != "f":
        raise BadLabels(f"{path}: energy has shape {energy.shape} {energy.dtype}, not (n_energy,)")
    if mu.shape != (n, len(energy)) or mu.dtype.kind != "f":
        raise BadLabels(
            f"{path}: mu has shape {mu.shape} {mu.dtype}; {n} structures and {len(energy)} "
            f"energies ask for {(n, len(energy))} of a floating-point type"
        )
    for what in (*TEXTS, "weight"):
        kinds = "f" if what == "weight" else "US"
        if what in arrays and (arrays[what].shape != (n,) or arrays[what].dtype.kind not in kinds):
            raise BadLabels(f"{path}: {what} is not one for each of {n} structures")
