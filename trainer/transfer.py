"""Few labels of another theory, or another beamline, on top of a model that knows the edge.

What the start says becomes the new spectrum by a linear map, found by ridge regression; a kernel
machine in the metric that the start has learned adds what the map leaves (delta learning). Both are
solved, not trained: seconds for hundreds of labels. The start's own graph stays as it is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from model_store.bundle import Bundle
from model_store.manifest import MODEL
from model_store.runtime import Session
from trainer.kernel import matern, squared_distances
from trainer.networks import CLIP
from xas.errors import Reject

Array = NDArray[np.float64]

PENALTIES = 10.0 ** np.arange(-7.0, 0.5, 0.5)
"""Of the ridge regression, in units of the largest variance; the best leave-one-out error wins."""
DELTA_RIDGE = 0.05
"""Of the kernel that learns what the map leaves; the labels are too few to choose it by them."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a start knows of n structures.

    mean     (n, n_start) float64, the spectra that it predicts
    place    (n, rank) float64, where they lie in its metric
    novelty  (n,) float64
    """

    mean: Array
    place: Array
    novelty: Array

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Known:
        """Of some of the structures."""
        return Known(self.mean[chosen], self.place[chosen], self.novelty[chosen])


class Start:
    """A stored model to begin with. Raises Reject for one without a kernel machine."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.session = Session(bundle)
        graph = onnx.load(bundle.folder / MODEL).graph
        found = {t.name: t for t in graph.initializer}
        try:
            tensors = [numpy_helper.to_array(found[k]) for k in ("centre", "scale", "metric_half")]
        except KeyError:
            raise Reject(
                f"{bundle.reference} has no kernel machine to start from: train it anew, or start "
                "from fe-k"
            ) from None
        self.centre, self.scale, self.metric = (t.astype(np.float64) for t in tensors)

    def of(self, features: Array) -> Known:
        """What it knows of structures by their features (n, n_features)."""
        mean, _, novelty = self.session.run(features)
        clipped = np.clip((features - self.centre) * self.scale, -CLIP, CLIP)
        return Known(mean.astype(np.float64), clipped @ self.metric, novelty.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Transfer:
    """From what a start knows to spectra of the new kind, n_energy points.

    slope (n_start, n_energy), offset (n_energy,): the linear map of the start's spectra
    points (n_labels, rank), delta (n_labels, n_energy): the kernel machine that is added
    """

    slope: Array
    offset: Array
    points: Array
    delta: Array

    def predict(self, known: Known) -> Array:
        """(n, n_energy)."""
        return known.mean @ self.slope + self.offset + near(known.place, self.points) @ self.delta


def fit_transfer(known: Known, spectra: Array, weights: Array) -> Transfer:
    """Learn from new spectra (n, n_energy) of structures that the start was asked about.

    weights  (n,) above 0, of each label relative to the others
    """
    shares = weights / weights.mean()
    centre, level = (np.average(rows, axis=0, weights=shares) for rows in (known.mean, spectra))
    slope, left = _ridge(known.mean - centre, spectra - level, shares)
    kernel = near(known.place, known.place)
    kernel[np.diag_indices(len(kernel))] += DELTA_RIDGE / shares
    delta = np.linalg.solve(kernel, left).astype(np.float64)
    return Transfer(slope, level - centre @ slope, known.place, delta)


def near(asked: Array, points: Array) -> Array:
    """The kernel (n, n_points) between places in the metric."""
    squared = squared_distances(torch.from_numpy(asked), torch.from_numpy(points))
    values: Array = matern(squared).numpy()
    return values


def _ridge(x: Array, y: Array, shares: Array) -> tuple[Array, Array]:
    """The coefficients of y on x, and what each row of y would miss if it were left out.

    shares  (n,) of each row in the sum of squares; their mean is 1
    """
    root = np.sqrt(shares)[:, None]
    x, y = root * x, root * y
    variance, axes = np.linalg.eigh(x @ x.T)
    best: tuple[float, Array, Array] | None = None
    for penalty in PENALTIES * variance[-1]:
        inverse = (axes / (variance + penalty)) @ axes.T
        weights = inverse @ y
        left = weights / np.diag(inverse)[:, None] / root
        error = float(np.median(np.abs(left).sum(axis=1)))
        if best is None or error < best[0]:
            best = (error, x.T @ weights, left)
    assert best is not None
    return best[1], best[2]
