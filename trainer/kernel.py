"""A kernel machine beside the networks: it errs elsewhere, and is solved, not trained.

Kernel ridge regression with a Matern kernel of a learned metric. The metric is found as in the
recursive feature machine: after each fit, directions in which the prediction changes fast are
stretched. Radhakrishnan, Beaglehole, Pandit and Belkin, Science 383, 1461 (2024), eqs. 2-3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from trainer.recipe import KernelRecipe

JITTER = 1e-6
METRIC_FROM = 4096
"""Labels from which the metric is found, drawn at random where there are more."""
GRADIENTS_AT = 1000
"""Points at which the slope of the prediction is taken; more change the metric little."""
GRADIENTS_OF = 32
"""Leading components of the spectra whose slopes are taken."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A fitted kernel machine; float32.

    metric        (n_features, rank): standardised features into the space of distances
    points        (n_points, rank): the training data there
    coefficients  (n_points, n_outputs)
    """

    metric: Tensor
    points: Tensor
    coefficients: Tensor


class KernelMember(nn.Module):
    """Components of spectra from standardised features, by a fitted kernel."""

    metric: Tensor
    points: Tensor
    coefficients: Tensor

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        for name in ("metric", "points", "coefficients"):
            self.register_buffer(name, getattr(kernel, name))

    def forward(self, clipped: Tensor) -> Tensor:
        """(n, n_outputs) from standardised, clipped features (n, n_features)."""
        near = matern(squared_distances(clipped @ self.metric, self.points))
        return near @ self.coefficients


def fit_kernel(
    recipe: KernelRecipe,
    clipped: Tensor,
    weights: Tensor,
    components: Tensor,
    shares: Tensor,
    seed: int,
) -> Kernel:
    """Fit to standardised features (n, n_features) and components of spectra (n, n_outputs).

    ``weights`` (n_features,) multiply the features where the search for a metric begins;
    ``shares`` (n,) float64, of each label in the sum of squared errors, have a mean of 1.

    It learns from all labels; at most ``recipe.points`` of them become centres. Metric and points
    are rounded to what a bundle stores before the coefficients are found. The weight of a component
    in the metric is its variance.
    """
    generator = Generator().manual_seed(seed)
    some = torch.randperm(len(clipped), generator=generator)[:METRIC_FROM].sort().values
    x, y = clipped[some] * weights, components[some]
    span = _span(x)
    x = x @ span
    metric = torch.eye(x.shape[1])
    for _ in range(recipe.rounds):
        metric = _spread(x, metric, recipe.reach, generator)
        solved = _solved(x @ metric, y, recipe.ridge, shares[some])
        metric = _steeper(x, metric, solved, generator)
    metric = _leading(_spread(x, metric, recipe.reach, generator), recipe.rank)
    metric = (weights[:, None] * (span @ metric)).half().float()
    mapped = clipped @ metric
    points = mapped.half().float()
    if len(points) <= recipe.points:
        return Kernel(metric, points, _solved(points, components, recipe.ridge, shares).float())
    points = points[_far_apart(mapped, recipe.points)]
    found = _regressed(mapped, points, components, recipe.ridge, shares)
    return Kernel(metric, points, found.float())


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) between rows."""
    lengths = (b * b).sum(1) - 2.0 * (a @ b.T)
    squared: Tensor = (lengths + (a * a).sum(1, keepdim=True)).clamp(min=0.0)
    return squared


def matern(squared: Tensor) -> Tensor:
    """(1 + r) exp(-r), of r^2; once differentiable. Rasmussen and Williams (2006), eq. 4.17."""
    r = squared.sqrt()
    return (1.0 + r) * torch.exp(-r)


def _solved(points: Tensor, y: Tensor, ridge: float, shares: Tensor) -> Tensor:
    """Weighted ridge regression: the lighter a label, the larger its own ridge."""
    kernel = matern(squared_distances(points, points)).double()
    kernel.diagonal().add_(ridge / shares)
    solved: Tensor = torch.cholesky_solve(y.double(), torch.linalg.cholesky(kernel))
    return solved


def _regressed(asked: Tensor, points: Tensor, y: Tensor, ridge: float, shares: Tensor) -> Tensor:
    """Least squares over all data on few centres. Rasmussen and Williams (2006), eq. 8.12."""
    across = matern(squared_distances(asked, points)).double()
    weighed = (across * shares[:, None]).T
    square = weighed @ across + ridge * matern(squared_distances(points, points)).double()
    square.diagonal().add_(JITTER)
    wanted = weighed @ y.double()
    solved: Tensor = torch.cholesky_solve(wanted, torch.linalg.cholesky(square))
    return solved


def _far_apart(points: Tensor, n: int) -> Tensor:
    """The indices of n points, each the farthest from those before it."""
    chosen = [int((points * points).sum(1).argmin())]
    distance = torch.full((len(points),), torch.inf)
    while len(chosen) < n:
        last = points[chosen[-1]]
        distance = torch.minimum(distance, ((points - last) ** 2).sum(1))
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)


def _span(x: Tensor) -> Tensor:
    """(n_features, at most n): orthogonal axes of all that the rows say; gradients lie there."""
    if len(x) >= x.shape[1]:
        return torch.eye(x.shape[1])
    axes: Tensor = torch.linalg.qr(x.T.double()).Q
    return axes.float()


def _spread(x: Tensor, metric: Tensor, reach: float, generator: Generator) -> Tensor:
    """The metric, so that the median distance is sqrt(3) / reach."""
    some = (x @ metric)[torch.randperm(len(x), generator=generator)[:500]]
    typical = float(squared_distances(some, some).median().sqrt())
    scaled: Tensor = metric * (3.0**0.5 / (reach * typical))
    return scaled


def _steeper(x: Tensor, metric: Tensor, coefficients: Tensor, generator: Generator) -> Tensor:
    """The metric whose square is the root of the mean outer product of the gradients."""
    points = x @ metric
    asked = torch.randperm(len(x), generator=generator)[:GRADIENTS_AT]
    falling = torch.exp(-squared_distances(points[asked], points).sqrt())  # -k'(r) / r
    outer = points.new_zeros(points.shape[1], points.shape[1])
    for weights in coefficients[:, :GRADIENTS_OF].float().T:
        pull = falling * weights
        gradient = points[asked] * pull.sum(1, keepdim=True) - pull @ points
        outer += gradient.T @ gradient
    values, axes = torch.linalg.eigh((metric @ outer @ metric.T).double())
    root: Tensor = (axes * values.clamp(min=0.0) ** 0.25) @ axes.T
    return root.float()


def _leading(metric: Tensor, rank: int) -> Tensor:
    """Of a metric, what it does along its ``rank`` strongest directions."""
    axes, lengths, _ = torch.linalg.svd(metric.double(), full_matrices=False)
    leading: Tensor = axes[:, :rank] * lengths[:rank]
    return leading.float()
