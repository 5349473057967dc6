"""The networks, all members of an ensemble side by side, and a kernel machine beside them.

``Ensemble`` is what is fitted; ``Predictor`` is what is exported: mean, calibrated spread, novelty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from trainer.kernel import KernelMember
from trainer.principal import principal_axes, standard_scale
from trainer.recipe import Recipe

Array = NDArray[np.float64]

CLIP = 8.0  # standard deviations; beyond it nothing was learned, and nothing may explode
FAR = 60.0  # standard deviations; the novelty counts what the networks do not see any more
DISTANCE_FLOOR = 0.02  # of the novelty's scale; keeps the square root smooth at distance 0


@dataclass(frozen=True, slots=True)
class Scaling:
    """What turns features into inputs and outputs into spectra.

    centre, scale  (n_features,) float32: standardised = (feature - centre) * scale, clipped
    projection     (n_features, n_inputs) float32: inputs = standardised @ projection; rows of
                   features that never varied are 0
    mean_spectrum  (n_energy,) float32
    decoder        (n_outputs, n_energy) float32: principal components of the spectra
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    projection: NDArray[np.float32]
    mean_spectrum: NDArray[np.float32]
    decoder: NDArray[np.float32]

    @classmethod
    def of(cls, recipe: Recipe, features: Array, spectra: Array, shares: Array) -> Scaling:
        """From the training data alone; shares (n,) of each label in the mean and components of
        the spectra. Features count alike: a label of little weight is still a known structure."""
        centre, scale, varies = standard_scale(features)
        weight = feature_weights(scale, varies, recipe.own_scale)
        x = np.clip((features - centre) * scale, -CLIP, CLIP) * weight
        mean = np.average(spectra, axis=0, weights=shares)
        arrays = (
            centre,
            scale,
            weight[:, None] * _whitening(x, recipe.whitening),
            mean,
            _decoder(np.sqrt(shares)[:, None] * (spectra - mean), recipe.components),
        )
        return cls(*(np.asarray(a, dtype=np.float32) for a in arrays))


def feature_weights(scale: Array, varies: NDArray[np.bool_], own_scale: float) -> Array:
    """(n_features,): what standardised features are multiplied by; 0 where one never varied.

    With all alike, a rare element's features are as loud as those of the first shell, and say less.
    """
    typical = float(np.median(scale[varies])) if varies.any() else 1.0
    weights: Array = np.where(varies, (typical / scale) ** own_scale, 0.0)
    return weights


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
    """``members`` perceptrons of one shape, computed as batched matrix products.

    kernel  a kernel machine that speaks as the last member, or None
    shares  (n_members,) float32, of each in the mean; the sum is 1
    """

    centre: Tensor
    scale: Tensor
    mean_spectrum: Tensor
    decoder: Tensor
    shares: Tensor
    projection: Tensor | None

    def __init__(
        self,
        recipe: Recipe,
        scaling: Scaling,
        weights: list[Tensor],
        kernel: KernelMember | None = None,
    ) -> None:
        """``weights``: weight (members, n_in, n_out) and bias (members, 1, n_out) of each layer."""
        super().__init__()
        self.recipe = recipe
        self.kernel = kernel
        self.register_buffer("shares", _shares(recipe, len(weights[0]), kernel is not None))
        for name in ("centre", "scale", "projection", "mean_spectrum", "decoder"):
            self.register_buffer(name, torch.from_numpy(getattr(scaling, name)))
        self.weights = nn.ParameterList(weights[::2])
        self.biases = nn.ParameterList(weights[1::2])
        self.activation = nn.SiLU() if recipe.activation == "silu" else nn.ReLU()

    @classmethod
    def random(cls, recipe: Recipe, scaling: Scaling, generator: Generator) -> Ensemble:
        """One member, not yet fitted."""
        sizes = [
            scaling.projection.shape[1],
            *[recipe.hidden] * recipe.depth,
            len(scaling.decoder),
        ]
        weights = []
        for n_in, n_out in pairwise(sizes):
            bound = 1.0 / math.sqrt(n_in)
            for rows in (n_in, 1):
                values = torch.empty(1, rows, n_out)
                weights.append(values.uniform_(-bound, bound, generator=generator))
        return cls(recipe, scaling, weights)

    def scaled(self, features: Tensor) -> Tensor:
        """(n, n_features): standardised."""
        return ((features - self.centre) * self.scale).clamp(-FAR, FAR)

    def inputs(self, features: Tensor) -> Tensor:
        """(n, n_inputs): what the first layers take."""
        return self.projected(self.scaled(features))

    def projected(self, scaled: Tensor) -> Tensor:
        """(n, n_inputs) from standardised features, which are clipped first."""
        return self._projected(scaled.clamp(-CLIP, CLIP))

    def _projected(self, clipped: Tensor) -> Tensor:
        return clipped if self.projection is None else clipped @ self.projection

    def answers(self, scaled: Tensor) -> Tensor:
        """(n_members, n, n_outputs) from standardised features: networks, then the kernel."""
        clipped = scaled.clamp(-CLIP, CLIP)
        networks = self.components(self._projected(clipped))
        if self.kernel is None:
            return networks
        return torch.cat([networks, self.kernel(clipped)[None]])

    def components(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        """(members, n, n_outputs) from inputs; with a generator, dropout draws from it."""
        x = inputs.expand(len(self.weights[0]), -1, -1)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias, x, weight)
            if i == last:
                return y
            y = _dropped(self.activation(y), self.recipe.dropout, generator)
            x = x + y if self.recipe.residual and i else y
        raise AssertionError("a network has at least one layer")

    def outputs(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        """(members, n, n_energy) from inputs (n, n_inputs)."""
        return self.components(inputs, generator) @ self.decoder + self.mean_spectrum

    def forward(self, features: Tensor) -> Tensor:
        """(n_members, n, n_energy) float32 from features (n, n_features) float32."""
        return self.answers(self.scaled(features)) @ self.decoder + self.mean_spectrum

    @property
    def unbiased(self) -> float:
        """What the weighted mean of squared deviations is multiplied by to be the variance."""
        left = 1.0 - float((self.shares**2).sum())
        return 1.0 / left if left > 1e-6 else 1.0

    def fold_projection(self) -> None:
        """Put the projection into the first layers, where that leaves less to compute.

        Both are linear: a single network has no use for the step between them.
        """
        if self.projection is None:
            return
        members, n_inputs, hidden = self.weights[0].shape
        if members * hidden * len(self.projection) > n_inputs * (
            len(self.projection) + members * hidden
        ):
            return
        self.weights[0] = nn.Parameter(self.projection @ self.weights[0], requires_grad=False)
        self.projection = None


def _shares(recipe: Recipe, networks: int, kernel: bool) -> Tensor:
    if recipe.kernel is None or not kernel:
        return torch.full((networks,), 1.0 / networks)
    rest = (1.0 - recipe.kernel.share) / networks
    return torch.tensor([rest] * networks + [recipe.kernel.share])


def stacked(networks: Sequence[Ensemble], kernel: KernelMember | None) -> Ensemble:
    """Networks of one recipe and scaling, and a kernel, as the members of one ensemble."""
    first = networks[0]
    both = zip(
        *[[p for pair in zip(n.weights, n.biases, strict=True) for p in pair] for n in networks],
        strict=True,
    )
    scaling = Scaling(
        *(
            getattr(first, name).numpy()
            for name in ("centre", "scale", "projection", "mean_spectrum", "decoder")
        )
    )
    ensemble = Ensemble(first.recipe, scaling, [torch.cat(same) for same in both], kernel)
    return ensemble.eval().requires_grad_(False)


def _dropped(x: Tensor, share: float, generator: Generator | None) -> Tensor:
    if generator is None or not share:
        return x
    keep = torch.empty_like(x).bernoulli_(1.0 - share, generator=generator)
    return x * keep.div_(1.0 - share)


class Novelty(nn.Module):
    """Distance from the training data, in units of its 99th percentile on held-out data.

    In standardised features, d^2 = min over landmarks among the training points of the distance
    within their first principal components, plus what lies outside the span of these components.
    """

    axes: Tensor
    landmarks: Tensor
    unit: Tensor

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        for name in ("axes", "landmarks", "unit"):
            self.register_buffer(name, torch.from_numpy(arrays[name]))

    def forward(self, scaled: Tensor) -> Tensor:
        """(n,) float32 from standardised features (n, n_features) float32."""
        z = scaled @ self.axes
        length = (z * z).sum(1)
        lengths = (self.landmarks * self.landmarks).sum(1)
        nearest = (lengths - 2.0 * (z @ self.landmarks.T)).amin(1) + length
        outside = (scaled * scaled).sum(1) - length
        squared = (nearest.clamp(min=0.0) + outside.clamp(min=0.0)) / self.unit**2
        return torch.sqrt(squared + DISTANCE_FLOOR**2)


class Predictor(nn.Module):
    """What a bundle holds; its error bars are those of ``calibrate.ErrorModel``.

    spread    (n_outputs, n_sampled) float32: the decoder at the energies where members are compared
    smoothing (n_sampled, n_energy) float32: their variance, averaged over energy
    factor, floor, growth: of the error model
    """

    spread: Tensor
    smoothing: Tensor
    factor: Tensor
    floor: Tensor
    growth: Tensor

    def __init__(
        self, ensemble: Ensemble, novelty: Novelty, calibration: dict[str, NDArray[np.float32]]
    ) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.novelty = novelty
        for name in ("spread", "smoothing", "factor", "floor", "growth"):
            self.register_buffer(name, torch.from_numpy(calibration[name]))

    @property
    def members(self) -> int:
        """Networks in the ensemble, without the kernel."""
        return len(self.ensemble.weights[0])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and standard deviation (n, n_energy) and novelty (n,), float32."""
        scaled = self.ensemble.scaled(features)
        answers = self.ensemble.answers(scaled)
        shares = self.ensemble.shares[:, None, None]
        centre = (shares * answers).sum(0)
        mean = centre @ self.ensemble.decoder + self.ensemble.mean_spectrum
        squares = (shares * ((answers - centre) @ self.spread) ** 2).sum(0) * self.ensemble.unbiased
        novelty = self.novelty(scaled)
        floor = self.floor * novelty[:, None] ** self.growth
        std = torch.sqrt(self.factor**2 * (squares @ self.smoothing) + floor**2)
        return mean, std, novelty

    def round_to_half(self) -> None:
        """Round what is stored as float16, so that this model and the exported one agree."""
        with torch.no_grad():
            for tensor in self._stored_as_half():
                tensor.copy_(tensor.half().float())

    def _stored_as_half(self) -> list[Tensor]:
        ensemble, novelty = self.ensemble, self.novelty
        projection = [] if ensemble.projection is None else [ensemble.projection]
        return [*projection, *ensemble.weights, novelty.axes, novelty.landmarks]
