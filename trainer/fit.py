"""Fitting an ensemble: features and spectra in, networks out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.networks import Ensemble, Scaling
from trainer.recipe import Recipe

EpochDone = Callable[[float], None]


def silent(_loss: float) -> None:
    """Tells nobody."""


def fit(
    recipe: Recipe,
    features: NDArray[np.float64],
    spectra: NDArray[np.float64],
    epoch_done: EpochDone = silent,
) -> Ensemble:
    """All members of an ensemble, fitted side by side, ready to predict.

    Members differ in their first weights, the order of the data and what dropout drops. The result
    is the same for the same recipe, data and number of threads; the caller's random state and
    number of threads are left as they were.

    features (n, n_features); spectra (n, n_energy); epoch_done is given the mean loss of an epoch.
    """
    with _reproducible(recipe.seed, recipe.threads):
        scaling = Scaling.of(recipe, features, spectra)
        ensemble = Ensemble(recipe, scaling).train()
        inputs = ensemble.inputs(torch.from_numpy(features.astype(np.float32)))
        _descend(recipe, ensemble, inputs, torch.from_numpy(spectra.astype(np.float32)), epoch_done)
    return ensemble.eval().requires_grad_(False)


def predict(
    ensemble: Ensemble, features: NDArray[np.float64], block: int = 512
) -> NDArray[np.float32]:
    """What each member says: (members, n, n_energy) float32."""
    rows = torch.from_numpy(features.astype(np.float32))
    with torch.no_grad():
        parts = [ensemble(part).numpy() for part in torch.split(rows, block)]
    return np.concatenate(parts, axis=1)


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def _descend(
    recipe: Recipe, ensemble: Ensemble, inputs: Tensor, spectra: Tensor, epoch_done: EpochDone
) -> None:
    """Train in place; the weights end as their moving average."""
    n = len(inputs)
    batch = min(recipe.batch, n)
    steps = n // batch
    optimiser, schedule = _optimiser(recipe, ensemble, steps * recipe.epochs)
    averages = [parameter.detach().clone() for parameter in ensemble.parameters()]
    for _ in range(recipe.epochs):
        order = torch.stack([torch.randperm(n) for _ in range(recipe.members)])
        total = 0.0
        for step in range(steps):
            chosen = order[:, step * batch : (step + 1) * batch]
            loss = _loss(recipe, ensemble.outputs(inputs[chosen]), spectra[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            _average(averages, ensemble, recipe.average_decay)
            total += float(loss.detach())
        epoch_done(total / steps / recipe.members)
    with torch.no_grad():
        for parameter, average in zip(ensemble.parameters(), averages, strict=True):
            parameter.copy_(average)


def _optimiser(
    recipe: Recipe, ensemble: Ensemble, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": list(ensemble.weights), "weight_decay": recipe.weight_decay},
        {"params": list(ensemble.biases), "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    if not recipe.one_cycle:
        return optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=steps + 1, pct_start=0.1
    )
    return optimiser, schedule


def _loss(recipe: Recipe, outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over members of the mean over spectra: no member's step depends on another's."""
    if recipe.loss == "l1":
        each = (outputs - targets).abs().sum(-1) / targets.sum(-1)
    else:
        each = ((outputs - targets) ** 2).mean(-1)
    return each.mean(1).sum()


def _average(averages: list[Tensor], ensemble: Ensemble, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(averages, list(ensemble.parameters()), 1.0 - decay)
