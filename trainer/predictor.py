"""The model of a training: ensemble, error bars and novelty in one, as it will be exported."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.calibrate import ErrorModel, novelty_arrays, sampled_energies, smoothing_matrix
from trainer.networks import Ensemble, Novelty, Predictor

Array = NDArray[np.float64]


def assemble(
    ensemble: Ensemble,
    error_model: ErrorModel,
    novelty_unit: float,
    energy: Array,
    features: Array,
) -> Predictor:
    """Put the parts together; weights are rounded to what the bundle can hold.

    features  (n, n_features), of all labels: novelty is the distance from these
    """
    ensemble.fold_projection()
    calibration = {
        "spread": ensemble.decoder.numpy()[:, sampled_energies(energy)],
        "smoothing": smoothing_matrix(energy),
        "factor": np.array(error_model.factor),
        "floor": error_model.floor,
        "growth": np.array(error_model.growth),
    }
    predictor = Predictor(
        ensemble,
        novelty_of(ensemble, features, novelty_unit),
        {name: np.asarray(a, dtype=np.float32) for name, a in calibration.items()},
    )
    predictor.round_to_half()
    return predictor.eval().requires_grad_(False)


def novelty_of(ensemble: Ensemble, features: Array, unit: float = 1.0) -> Novelty:
    """Distance from the features (n, n_features) that an ensemble was fitted to."""
    scaled = ensemble.scaled(torch.from_numpy(features.astype(np.float32))).numpy()
    return Novelty(novelty_arrays(scaled.astype(np.float64), ensemble.recipe.landmarks, unit))


def answer(
    predictor: Predictor, features: Array
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (n, n_energy) and novelty (n,), by PyTorch."""
    with torch.no_grad():
        mean, std, novelty = predictor(torch.from_numpy(features.astype(np.float32)))
    return mean.numpy(), std.numpy(), novelty.numpy()
