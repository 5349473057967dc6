"""What a model says about labels: all that the gate and the check for suspicion see of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.manifest import Manifest
from model_store.runtime import Session
from xas.descriptor import Descriptor
from xas.errors import BadLabels
from xas.structure import Sites, StructureBatch

Array = NDArray[np.float64]

LEVELS = {"68": 0.6827, "95": 0.9545, "99": 0.9973}
"""Of the intervals of 1, 2 and 3 standard deviations of a normal distribution."""
EDGE_SLACK_EV = 0.5
"""A label's grid may reach so far beyond the model's."""


def normal_reach() -> dict[str, float]:
    """How many standard deviations each interval reaches, if errors are normal."""
    return {name: NormalDist().inv_cdf(0.5 + 0.5 * level) for name, level in LEVELS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One model's answer to n labels, on the energies of the labels.

    mean, std  (n, n_energy) float64, std one calibrated standard deviation; 0: it says nothing
    novelty    (n,) float64, how far from its training data
    reach      for each of LEVELS, how many std its interval reaches to either side
    """

    mean: Array
    std: Array
    novelty: Array
    reach: dict[str, float]

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Prediction:
        """Its answers to some of the labels."""
        return Prediction(
            mean=self.mean[chosen],
            std=self.std[chosen],
            novelty=self.novelty[chosen],
            reach=self.reach,
        )


def predict_labels(
    bundle: Bundle, batch: StructureBatch, sites: Sites, energy: Array
) -> Prediction:
    """What a stored model says of each site, on ``energy`` (n_energy,) eV.

    Raises BadLabels where the energies lie outside those of the model.
    """
    manifest = bundle.manifest
    own = np.asarray(manifest.output.energy_ev)
    if energy[0] < own[0] - EDGE_SLACK_EV or energy[-1] > own[-1] + EDGE_SLACK_EV:
        raise BadLabels(
            f"the labels have {energy[0]:g} to {energy[-1]:g} eV, but {bundle.reference} predicts "
            f"{own[0]:g} to {own[-1]:g} eV only: it says nothing about the rest"
        )
    features = Descriptor(manifest.descriptor).featurise(batch, sites).values
    mean, std, novelty = Session(bundle).run(features.astype(np.float32))
    return Prediction(
        mean=on_grid(own, mean, energy),
        std=on_grid(own, std, energy),
        novelty=novelty.astype(np.float64),
        reach=reach_of(manifest),
    )


def on_grid(own: Array, rows: NDArray[np.floating], energy: Array) -> Array:
    """Spectra (n, n_own) on another grid, (n, n_energy) float64; as they are on their own."""
    if np.array_equal(own, energy):
        return rows.astype(np.float64)
    return np.array([np.interp(energy, own, row) for row in rows]).reshape(len(rows), len(energy))


def reach_of(manifest: Manifest) -> dict[str, float]:
    """The intervals that a model states: of its calibration, else those of normal errors."""
    figures = {} if manifest.calibration is None else manifest.calibration.figures
    return {name: figures.get(f"interval_{name}", z) for name, z in normal_reach().items()}
