"""Spectra without a service, and result files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgestream.models import load_predictor
from model_store.manifest import Evidence
from workers.predictor import Prediction, Predictor
from xas.edges import atomic_number, element_symbol
from xas.errors import BadStructure
from xas.spectrum import normalise
from xas.structure import AtomsLike, Sites, StructureBatch

if TYPE_CHECKING:
    from stream.result_file.reader import RunFile

Absorbers = str | Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectra:
    """Predicted spectra, one row a site, in the order of structures, then atoms.

    energy             (n_energy,) float64, eV
    intensity, errors  (n, n_energy) float32; errors are one standard deviation
    novelty            (n,) float32, how far outside the training data (1: its 99th percentile)
                       errors and novelty are NaN where the model gives none
    structure, atom    (n,) int64, which structure and which of its atoms a row belongs to
    model              name@version
    """

    energy: NDArray[np.float64]
    intensity: NDArray[np.float32]
    errors: NDArray[np.float32]
    novelty: NDArray[np.float32]
    structure: NDArray[np.int64]
    atom: NDArray[np.int64]
    model: str

    def __len__(self) -> int:
        return len(self.intensity)

    @property
    def known_errors(self) -> NDArray[np.float32] | None:
        """``errors``, or None where the model gives none."""
        return None if np.isnan(self.errors).all() else self.errors

    def normalised(self) -> NDArray[np.float32]:
        """(n, n_energy) float32: intensity divided by the edge step of each spectrum."""
        return np.asarray(normalise(self.energy, self.intensity), dtype=np.float32)


def predict(
    structures: AtomsLike | Iterable[AtomsLike] | StructureBatch,
    model: str = "fe-k",
    *,
    absorbers: Absorbers | None = None,
    device: str = "cpu",
    models: Path | str | None = None,
) -> Spectra:
    """Spectra of all absorbers in one ``ase.Atoms``, a list of them, or a StructureBatch.

    absorbers: an element symbol, or for each structure a list of atom indices (from 0); by default
    all atoms of the model's element. Raises BadStructure for the first structure that has no
    spectrum, UnknownModel and BadModel for the model.
    """
    batch = as_batch(structures)
    predictor = load_predictor(model, models, device)
    sites, symbol = read_absorbers(batch, absorbers)
    prediction = predictor.predict(batch, sites, symbol)
    if prediction.reasons:
        first = min(prediction.reasons)
        raise BadStructure(f"structure {first}: {prediction.reasons[first]}")
    return spectra_of(predictor, prediction)


def as_batch(structures: AtomsLike | Iterable[AtomsLike] | StructureBatch) -> StructureBatch:
    """Structures in any of the three forms as one batch; BadStructure for what is none of them."""
    if isinstance(structures, StructureBatch):
        return structures
    given: Any = structures
    is_one = hasattr(given, "numbers") or not isinstance(given, Iterable)
    atoms: list[Any] = [given] if is_one else list(given)
    if not all(hasattr(a, "numbers") for a in atoms):
        raise BadStructure(
            "structures are ASE Atoms or a list of them, not the name of a file: "
            "ase.io.read(FILE, ':'), or edgestream predict FILE and push FILE on the command line"
        )
    return StructureBatch.from_atoms(atoms)


def spectra_of(predictor: Predictor, prediction: Prediction) -> Spectra:
    """A prediction with the grid and the name of its model."""
    output = predictor.manifest.output
    return Spectra(
        energy=predictor.energy,
        intensity=prediction.intensity,
        errors=_known(prediction.errors, output.errors),
        novelty=_known(prediction.novelty, output.novelty),
        structure=prediction.sites.structure,
        atom=prediction.sites.atom,
        model=predictor.manifest.reference,
    )


def _known(values: NDArray[np.float32], evidence: Evidence) -> NDArray[np.float32]:
    """A model that gives none has zeros in its graph, which would read as certainty."""
    return np.full_like(values, np.nan) if evidence == "none" else values


def read_absorbers(
    batch: StructureBatch, absorbers: Absorbers | None
) -> tuple[Sites | None, str | None]:
    """Explicit sites, or an element's symbol, or neither; BadStructure for what cannot be."""
    if absorbers is None:
        return None, None
    if isinstance(absorbers, str):
        return None, element_symbol(atomic_number(absorbers))
    if len(absorbers) != len(batch):
        raise BadStructure(f"absorbers for {len(absorbers)} of {len(batch)} structures")
    counts = [len(own) for own in absorbers]
    structure = np.repeat(np.arange(len(batch)), counts)
    atom = np.array([i for own in absorbers for i in own], dtype=np.int64)
    outside = (atom < 0) | (atom >= np.diff(batch.offsets)[structure])
    if outside.any():
        k = int(np.flatnonzero(outside)[0])
        raise BadStructure(f"structure {structure[k]} has no atom {atom[k]}")
    return Sites(structure, atom), None


def open_run(path: str | Path) -> RunFile:
    """A result file, also while it grows (``refresh()`` shows what has come since).

    Whoever made it: one that would end this process is a BadResultFile, which takes a third of a
    second to find out.
    """
    from stream.result_file.probe import require_harmless
    from stream.result_file.reader import RunFile  # HDF5, which predictions do without

    require_harmless(Path(path))
    return RunFile(Path(path))
