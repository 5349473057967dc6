"""What the folds of a training said of labels that they had not seen, kept in the bundle.

By these a model may be judged on labels that it has learned since. Spectra are stored by their
leading components: some 130 bytes a label instead of 1.8 kB.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from trainer.archive import Labels
from trainer.prediction import Prediction, on_grid, reach_of
from trainer.principal import principal_axes
from trainer.repeats import fingerprints
from xas.errors import BadModel

if TYPE_CHECKING:
    from trainer.evaluate import OutOfFold

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

KEPT = "held-out.npz"
MEAN_COMPONENTS, SIGMA_COMPONENTS = 48, 16


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """Of n labels of a training, out of fold; on the energies of the model.

    label    (n,) which of the training's labels, in their order; rising
    mean     (n, n_energy); sigma (n, n_energy): one calibrated standard deviation, whose
             calibration had not seen the fold either
    novelty  (n,)
    """

    label: Indices
    mean: Array
    sigma: Array
    novelty: Array

    @classmethod
    def of(cls, found: OutOfFold, sigma: Array) -> KeptAnswers:
        """The first repeat of a cross-validation, each label once."""
        first = found.repeats[0]
        label, row = np.unique(found.label[first], return_index=True)
        return cls(label, found.mean[first][row], sigma[first][row], found.novelty[first][row])

    def encode(self) -> bytes:
        """As a file of the bundle. Spectra come back within about 0.1 %, sigma within some %."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {
            "label": self.label.astype(np.int32),
            "novelty": self.novelty.astype(np.float32),
        }
        arrays |= _packed("mean", self.mean, MEAN_COMPONENTS)
        arrays |= _packed("log_sigma", np.log(np.maximum(self.sigma, 1e-12)), SIGMA_COMPONENTS)
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    def read(cls, bundle: Bundle) -> KeptAnswers | None:
        """What a bundle keeps; None where its training left nothing. Raises BadModel."""
        if KEPT not in bundle.manifest.files:
            return None
        try:
            with np.load(io.BytesIO(bundle.content(KEPT)), allow_pickle=False) as data:
                mean, log_sigma = (unpacked(data, name) for name in ("mean", "log_sigma"))
                label, novelty = data["label"].astype(np.int64), data["novelty"].astype(np.float64)
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise BadModel(f"{bundle.folder / KEPT}: no answers of a training: {error}") from None
        return cls(label, mean, np.exp(log_sigma), novelty)._checked(bundle)

    def _checked(self, bundle: Bundle) -> KeptAnswers:
        rows = {len(a) for a in (self.label, self.mean, self.sigma, self.novelty)}
        widths = {self.mean.shape[1], self.sigma.shape[1], len(bundle.manifest.output.energy_ev)}
        if len(rows) > 1 or len(widths) > 1:
            raise BadModel(f"{bundle.folder / KEPT}: its arrays do not belong together")
        return self

    def on(self, labels: Labels, learned: Labels, bundle: Bundle) -> tuple[Prediction, Indices]:
        """What was said of those of ``labels`` whose structure is kept, and which these are.

        learned  the labels of the training, to know the structures by
        """
        known = dict(
            zip(fingerprints(learned.batch, learned.sites), range(len(learned)), strict=True)
        )
        row_of = {int(label): row for row, label in enumerate(self.label)}
        places = [
            row_of.get(known.get(f, -1), -1) for f in fingerprints(labels.batch, labels.sites)
        ]
        where = np.flatnonzero(np.array(places, dtype=np.int64) >= 0)
        rows = np.array(places, dtype=np.int64)[where]
        own = np.asarray(bundle.manifest.output.energy_ev)
        said = Prediction(
            mean=on_grid(own, self.mean[rows], labels.energy),
            std=on_grid(own, self.sigma[rows], labels.energy),
            novelty=self.novelty[rows],
            reach=reach_of(bundle.manifest),
        )
        return said, where


def _packed(name: str, rows: Array, components: int) -> dict[str, NDArray[np.floating]]:
    """Rows (n, n_energy) by their leading components, each from -1 to 1 in two bytes."""
    centre = rows.mean(axis=0)
    axes = principal_axes(rows - centre)[1][:, :components]
    scores = (rows - centre) @ axes
    unit = np.maximum(np.abs(scores).max(axis=0, initial=0.0), 1e-300)
    return {
        f"{name}_centre": centre.astype(np.float32),
        f"{name}_axes": (axes * unit).T.astype(np.float32),
        f"{name}_scores": (scores / unit).astype(np.float16),
    }


def unpacked(data: Mapping[str, NDArray[np.generic]], name: str) -> Array:
    """What ``_packed`` packed under a name, (n, n_energy)."""
    parts = [data[f"{name}_{part}"].astype(np.float64) for part in ("scores", "axes", "centre")]
    rows: Array = parts[0] @ parts[1] + parts[2]
    return rows
