"""The networks, all members of an ensemble side by side.

``Ensemble`` is what is fitted; ``Predictor`` is what is exported: mean, calibrated spread, novelty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.principal import principal_axes, standard_scale
from trainer.recipe import Recipe

Array = NDArray[np.float64]

CLIP = 8.0  # standard deviations; beyond it nothing was learned, and nothing may explode
NOVELTY_CLIP = 60.0
DISTANCE_FLOOR = 0.02  # of the novelty's scale; keeps the square root smooth at distance 0


@dataclass(frozen=True, slots=True)
class Scaling:
    """What turns features into inputs and outputs into spectra.

    centre, scale  (n_features,) float32: standardised = (feature - centre) * scale, clipped; scale
                   0 drops a feature that never varied
    projection     (n_features, n_inputs) float32: inputs = standardised @ projection
    mean_spectrum  (n_energy,) float32
    decoder        (n_outputs, n_energy) float32: principal components of the spectra
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    projection: NDArray[np.float32]
    mean_spectrum: NDArray[np.float32]
    decoder: NDArray[np.float32]

    @classmethod
    def of(cls, recipe: Recipe, features: Array, spectra: Array) -> Scaling:
        """From the training data alone."""
        centre, std, varies = standard_scale(features)
        scale = np.where(varies, 1.0 / np.where(varies, std, 1.0), 0.0)
        x = np.clip((features - centre) * scale, -CLIP, CLIP)
        mean = spectra.mean(axis=0)
        arrays = (
            centre,
            scale,
            _whitening(x, recipe.whitening),
            mean,
            _decoder(spectra - mean, recipe.components),
        )
        return cls(*(np.asarray(a, dtype=np.float32) for a in arrays))


def _whitening(x: Array, floor: float) -> Array:
    """Onto principal axes of x, each divided by sqrt(its variance + floor); floor 0: x as it is.

    Neighbouring features say nearly the same; what they differ in is small and matters.
    """
    if not floor:
        return np.eye(x.shape[1])
    variance, axes = principal_axes(x)
    used = variance > 0.01 * floor
    if not used.any():
        return np.eye(x.shape[1])
    unit = float(np.mean(variance[used] / (variance[used] + floor)))  # so that inputs are about 1
    whitening: Array = axes[:, used] / np.sqrt((variance[used] + floor) * unit)
    return whitening


def _decoder(residuals: Array, components: int) -> Array:
    variance, axes = principal_axes(residuals)
    decoder: Array = (axes * np.sqrt(variance)).T[:components]
    return decoder


class Ensemble(nn.Module):
    """``members`` perceptrons of one shape, computed as batched matrix products."""

    centre: Tensor
    scale: Tensor
    mean_spectrum: Tensor
    decoder: Tensor
    projection: Tensor

    def __init__(self, recipe: Recipe, scaling: Scaling) -> None:
        super().__init__()
        self.recipe = recipe
        for name in ("centre", "scale", "projection", "mean_spectrum", "decoder"):
            self.register_buffer(name, torch.from_numpy(getattr(scaling, name)))
        sizes = [self.projection.shape[1], *[recipe.hidden] * recipe.depth, len(self.decoder)]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for n_in, n_out in pairwise(sizes):
            bound = 1.0 / math.sqrt(n_in)
            weight = torch.empty(recipe.members, n_in, n_out).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(
                nn.Parameter(torch.empty(recipe.members, 1, n_out).uniform_(-bound, bound))
            )
        self.dropout = nn.Dropout(recipe.dropout)
        self.activation = nn.SiLU() if recipe.activation == "silu" else nn.ReLU()

    def inputs(self, features: Tensor) -> Tensor:
        """(n, n_inputs): standardised, clipped and projected features (n, n_features)."""
        scaled = ((features - self.centre) * self.scale).clamp(-CLIP, CLIP)
        return scaled @ self.projection

    def outputs(self, inputs: Tensor) -> Tensor:
        """(members, n, n_energy) from inputs (members or 1, n, n_inputs)."""
        x = inputs.expand(self.recipe.members, -1, -1)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias, x, weight)
            if i == last:
                return y @ self.decoder + self.mean_spectrum
            y = self.dropout(self.activation(y))
            x = x + y if self.recipe.residual and i else y
        raise AssertionError("a network has at least one layer")

    def forward(self, features: Tensor) -> Tensor:
        """(members, n, n_energy) float32 from features (n, n_features) float32."""
        return self.outputs(self.inputs(features)[None])


class Novelty(nn.Module):
    """Distance from the training data, in units of its 99th percentile on held-out data.

    In standardised features, d^2 = min over training points of the distance within their first
    principal components, plus what lies outside the span of these components.
    """

    centre: Tensor
    scale: Tensor
    axes: Tensor
    points: Tensor
    unit: Tensor

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        for name in ("centre", "scale", "axes", "points", "unit"):
            self.register_buffer(name, torch.from_numpy(arrays[name]))

    def forward(self, features: Tensor) -> Tensor:
        """(n,) float32 from features (n, n_features) float32."""
        x = ((features - self.centre) * self.scale).clamp(-NOVELTY_CLIP, NOVELTY_CLIP)
        z = x @ self.axes
        length = (z * z).sum(1)
        nearest = ((self.points * self.points).sum(1) - 2.0 * (z @ self.points.T)).amin(1) + length
        outside = (x * x).sum(1) - length
        squared = (nearest.clamp(min=0.0) + outside.clamp(min=0.0)) / self.unit**2
        return torch.sqrt(squared + DISTANCE_FLOOR**2)


class Predictor(nn.Module):
    """What a bundle holds. sigma^2 = (factor * smoothed spread)^2 + floor(E)^2."""

    smoothing: Tensor
    factor: Tensor
    floor: Tensor

    def __init__(
        self, ensemble: Ensemble, novelty: Novelty, calibration: dict[str, NDArray[np.float32]]
    ) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.novelty = novelty
        for name in ("smoothing", "factor", "floor"):
            self.register_buffer(name, torch.from_numpy(calibration[name]))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and standard deviation (n, n_energy) and novelty (n,), float32."""
        members = self.ensemble(features)
        mean = members.mean(0)
        variance = ((members - mean) ** 2).sum(0) / max(1, len(members) - 1)
        std = torch.sqrt(self.factor**2 * (variance @ self.smoothing) + self.floor**2)
        return mean, std, self.novelty(features)

    def round_to_half(self) -> None:
        """Round what is stored as float16, so that this model and the exported one agree."""
        with torch.no_grad():
            for tensor in self._stored_as_half():
                tensor.copy_(tensor.half().float())

    def _stored_as_half(self) -> list[Tensor]:
        ensemble, novelty = self.ensemble, self.novelty
        return [ensemble.projection, *ensemble.weights, novelty.axes, novelty.points]
