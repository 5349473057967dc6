"""Labelled data: structures with their reference spectra, from npz files.

The file holds ragged atoms ``numbers``, ``positions`` (angstrom), ``offsets``, one spectrum each in
``mu`` (n, n_energy) on ``energy`` (n_energy,) eV, and perhaps ``name`` and ``material`` (n,). The
absorber is atom 0 of each structure. It may hold ``cell`` (n, 3, 3) and ``pbc`` (n, 3) for what is
periodic, ``weight`` (n,), and ``edge`` and ``theory`` (n,) texts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas.edges import element_symbol
from xas.errors import BadLabels, BadStructure
from xas.npz import plain_arrays
from xas.structure import Sites, StructureBatch

MIN_ENERGIES = 8
NEEDED = ("numbers", "positions", "offsets", "mu", "energy")
KNOWN = (*NEEDED, "name", "material", "weight", "edge", "theory", "cell", "pbc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Checked training data, in the order of the file.

    sites      one a structure
    energy     (n_energy,) float64, eV, rising
    intensity  (n, n_energy) float64, as in the file; finite, each with a positive sum
    names      (n,) str, to name a label in a message or report
    weights    (n,) float64, above 0: of each label in a training, relative to others
    edge       of the spectra, empty where the file does not say
    theory     level of theory, of all of them; empty where the file does not say
    groups     (n,) str; labels of one group are never split between training and validation
    grouped_by what the groups are: "formula", "material", or what the archive says
    """

    file: str
    sha256: str
    element: str
    batch: StructureBatch
    sites: Sites
    energy: NDArray[np.float64]
    intensity: NDArray[np.float64]
    names: NDArray[np.str_]
    groups: NDArray[np.str_]
    grouped_by: str
    weights: NDArray[np.float64]
    edge: str = ""
    theory: str = ""

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def n_groups(self) -> int:
        """Different groups."""
        return len(np.unique(self.groups))


def read_labels(path: Path, limit: int | None = None) -> Labels:
    """The labels of an npz file, or the first ``limit`` of them.

    Groups are the materials where the file names them, else the formulas: isomers, conformers and
    charge states of one formula, where near-duplicates lie, stay together.
    Raises BadLabels with the file, the label and what is wrong with it.
    """
    arrays, digest = _arrays_of(path)
    try:
        atoms = (arrays.get(key) for key in (*NEEDED[:3], "cell", "pbc"))
        batch = StructureBatch.from_arrays(*atoms)
    except (BadStructure, ValueError, TypeError) as error:
        raise BadLabels(f"{path}: {error}") from None
    n = len(batch) if limit is None else min(limit, len(batch))
    intensity, energy = _spectra(path, arrays, len(batch))
    names = _texts(arrays.get("name", arrays.get("material")), len(batch), path)
    weights = _weights(arrays.get("weight"), len(batch), path)[:n]
    batch, intensity, names = batch[:n], intensity[:n], names[:n]
    _require_good(path, batch, intensity, names)
    material = arrays.get("material")
    groups = formulas(batch) if material is None else _texts(material, len(material), path)[:n]
    return Labels(
        file=path.name,
        sha256=digest,
        element=element_symbol(int(batch.numbers[0])),
        batch=batch,
        sites=Sites(np.arange(n), np.zeros(n, dtype=np.int64)),
        energy=energy,
        intensity=intensity,
        names=names,
        groups=groups,
        grouped_by="formula" if material is None else "material",
        weights=weights,
        edge=_the_one(path, "edge", arrays),
        theory=_the_one(path, "theory", arrays),
    )


def formulas(batch: StructureBatch) -> NDArray[np.str_]:
    """The composition of each structure as text, by atomic number: "C5Fe1O5"."""
    counts = np.zeros((len(batch), 119), dtype=np.int64)
    owner = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
    np.add.at(counts, (owner, batch.numbers), 1)
    return np.array([_formula(row) for row in counts], dtype=np.str_)


def grouped_folds(groups: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Which fold each label is held out in, (n,) int64; no group is in two folds.

    Large groups are dealt first, each to the smallest fold; equal sizes in random order.
    """
    names, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < n_folds:
        raise BadLabels(
            f"{len(names)} groups cannot make {n_folds} folds; give more labels, or fewer folds"
        )
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold = np.zeros(len(names), dtype=np.int64)
    filled = np.zeros(n_folds, dtype=np.int64)
    for group in order:
        fold[group] = int(np.argmin(filled))
        filled[fold[group]] += sizes[group]
    return fold[member]


def _arrays_of(path: Path) -> tuple[dict[str, NDArray[np.generic]], str]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            arrays = plain_arrays(file, KNOWN)
    except OSError as error:
        raise BadLabels(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise BadLabels(f"{path}: not an npz file of plain arrays: {error}") from None
    if missing := [key for key in NEEDED if key not in arrays]:
        raise BadLabels(f"{path}: lacks the arrays {', '.join(missing)}")
    return arrays, digest


def _spectra(
    path: Path, arrays: dict[str, NDArray[np.generic]], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    energy, mu = arrays["energy"], arrays["mu"]
    if energy.ndim != 1 or len(energy) < MIN_ENERGIES or energy.dtype.kind != "f":
        raise BadLabels(f"{path}: energy has shape {energy.shape}, not (at least {MIN_ENERGIES},)")
    if not np.isfinite(energy).all() or (np.diff(energy) <= 0).any():
        raise BadLabels(f"{path}: the energies are not finite and rising")
    if mu.shape != (n, len(energy)) or mu.dtype.kind != "f":
        raise BadLabels(
            f"{path}: mu has shape {mu.shape} {mu.dtype}, but {n} structures and {len(energy)} "
            f"energies ask for {(n, len(energy))} of a floating-point type"
        )
    return mu.astype(np.float64), energy.astype(np.float64)


def _texts(values: NDArray[np.generic] | None, n: int, path: Path) -> NDArray[np.str_]:
    if values is None:
        return np.array([f"label {i}" for i in range(n)], dtype=np.str_)
    if values.shape != (n,) or values.dtype.kind not in "US":
        raise BadLabels(f"{path}: name or material is not one text for each of {n} structures")
    return values.astype(np.str_)


def _weights(values: NDArray[np.generic] | None, n: int, path: Path) -> NDArray[np.float64]:
    if values is None:
        return np.ones(n)
    if values.shape == (n,) and values.dtype.kind == "f":
        weights = values.astype(np.float64)
        if np.isfinite(weights).all() and (weights > 0).all():
            return weights
    raise BadLabels(f"{path}: weight is not one number above 0 for each of {n} structures")


def _the_one(path: Path, what: str, arrays: dict[str, NDArray[np.generic]]) -> str:
    """What all labels of a file share; empty where it does not say."""
    found = np.unique(arrays[what].astype(np.str_)).tolist() if what in arrays else [""]
    if len(found) > 1:
        raise BadLabels(f"{path}: {what} is {', '.join(found[:5])}: one training learns one")
    return str(found[0])


def _require_good(
    path: Path, batch: StructureBatch, intensity: NDArray[np.float64], names: NDArray[np.str_]
) -> None:
    """Raise BadLabels for the first label that cannot be learned from."""
    if not len(batch):
        raise BadLabels(f"{path}: holds no labels")
    empty = np.diff(batch.offsets) == 0
    _refuse(path, names, empty, "has no atoms")
    absorber = batch.numbers[batch.offsets[:-1]]
    _refuse(path, names, absorber != absorber[0], "has another absorber (atom 0) than the first")
    broken = ~np.isfinite(batch.positions).all(axis=1)
    lost = np.add.reduceat(broken, batch.offsets[:-1]) > 0
    _refuse(path, names, lost, "has positions that are not finite")
    _refuse(path, names, ~np.isfinite(intensity).all(axis=1), "has a spectrum that is not finite")
    _refuse(path, names, intensity.sum(axis=1) <= 0, "has a spectrum whose sum is not positive")


def _refuse(path: Path, names: NDArray[np.str_], bad: Any, reason: str) -> None:
    if bad.any():
        i = int(np.argmax(bad))
        more = f" ({int(bad.sum())} such labels)" if bad.sum() > 1 else ""
        raise BadLabels(f"{path}: label {i} ({names[i]}) {reason}{more}")


def _formula(counts: NDArray[np.int64]) -> str:
    present = sorted((element_symbol(int(z)), int(counts[z])) for z in np.flatnonzero(counts))
    return "".join(f"{symbol}{count}" for symbol, count in present)
