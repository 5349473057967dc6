"""Fitting networks: features and spectra in, ensembles out.

Each member is fitted by itself, on one core, with random numbers of its own: as many at a time as
there are cores, and with the same result however many these are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from trainer.checkpoints import Checkpoints
from trainer.kernel import KernelMember, fit_kernel
from trainer.networks import CLIP, Ensemble, Scaling, feature_weights, stacked
from trainer.recipe import Recipe
from xas.descriptor import Descriptor

EpochDone = Callable[[float], None]

SHORTEST_CYCLE = 11
"""Steps; of ten, PyTorch's rise of a tenth has no length, and it divides by that."""


class _Abandoned(Exception):
    """Another member failed, or the user gave up."""


def silent(_loss: float) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one ensemble learns from: features (n, n_features), spectra (n, n_energy), its seed.

    weights  (n,) how much each label counts in what is minimised, relative to the others
    """

    features: NDArray[np.float64]
    spectra: NDArray[np.float64]
    seed: int
    weights: NDArray[np.float64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(n,): the weights, with a mean of 1."""
        shares: NDArray[np.float64] = self.weights / self.weights.mean()
        return shares


def fit(
    recipe: Recipe,
    features: NDArray[np.float64],
    spectra: NDArray[np.float64],
    epoch_done: EpochDone = silent,
    checkpoints: Checkpoints | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Ensemble:
    """All members of an ensemble, ready to predict; see ``fit_each``. Without weights all labels
    count alike."""
    alike = np.ones(len(features)) if weights is None else weights
    lesson = Lesson(features, spectra, recipe.seed, alike)
    return fit_each(recipe, [lesson], epoch_done, checkpoints)[0]


def fit_each(
    recipe: Recipe,
    lessons: Sequence[Lesson],
    epoch_done: EpochDone = silent,
    checkpoints: Checkpoints | None = None,
) -> list[Ensemble]:
    """One ensemble a lesson; ``recipe.threads`` members are fitted at a time.

    Members differ in their first weights, the order of the data and what dropout drops. The result
    is the same for the same recipe and lessons; the caller's random state and number of threads are
    left as they were. ``epoch_done`` is given the mean loss of each epoch of each member, from any
    thread. An exception, also Ctrl-C, ends all fits at their next epoch. Members that are among
    the checkpoints are taken from there; their epochs are told with a loss of NaN.
    """
    scalings = [
        Scaling.of(recipe, lesson.features, lesson.spectra, lesson.shares) for lesson in lessons
    ]
    stop = threading.Event()

    def watched(loss: float) -> None:
        if stop.is_set():
            raise _Abandoned
        epoch_done(loss)

    with ThreadPoolExecutor(recipe.threads) as pool:
        futures = [
            pool.submit(_fit_member, recipe, scaling, lesson, member, watched, checkpoints)
            for scaling, lesson in zip(scalings, lessons, strict=True)
            for member in range(recipe.members)
        ]
        others = [
            pool.submit(_fit_kernel, recipe, scaling, lesson)
            for scaling, lesson in zip(scalings, lessons, strict=True)
        ]
        try:
            members = [future.result() for future in futures]
            kernels = [other.result() for other in others]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    m = recipe.members
    return [stacked(members[i * m : (i + 1) * m], kernel) for i, kernel in enumerate(kernels)]


def predict(
    ensemble: Ensemble, features: NDArray[np.float64], block: int = 512
) -> NDArray[np.float32]:
    """What each member says: (members, n, n_energy) float32."""
    rows = torch.from_numpy(features.astype(np.float32))
    with torch.no_grad():
        parts = [ensemble(part).numpy() for part in torch.split(rows, block)]
    return np.concatenate(parts, axis=1)


def _fit_member(
    recipe: Recipe,
    scaling: Scaling,
    lesson: Lesson,
    member: int,
    epoch_done: EpochDone,
    checkpoints: Checkpoints | None,
) -> Ensemble:
    generator = Generator().manual_seed(1000 * lesson.seed + member)
    network = Ensemble.random(recipe, scaling, generator).train()
    if checkpoints is None:
        _learn(recipe, network, lesson, generator, epoch_done)
        return network.eval().requires_grad_(False)
    arrays = (lesson.features, lesson.spectra, lesson.weights)
    path = checkpoints.path(recipe, member, lesson.seed, *arrays)
    if checkpoints.restore(path, network):
        for _ in range(recipe.epochs):
            epoch_done(float("nan"))
    else:
        _learn(recipe, network, lesson, generator, epoch_done)
        checkpoints.keep(path, network)
    return network.eval().requires_grad_(False)


def _learn(
    recipe: Recipe,
    network: Ensemble,
    lesson: Lesson,
    generator: Generator,
    epoch_done: EpochDone,
) -> None:
    spectra = torch.from_numpy(lesson.spectra.astype(np.float32))
    shares = torch.from_numpy(lesson.shares.astype(np.float32))
    with _one_thread():
        with torch.no_grad():
            inputs = network.inputs(torch.from_numpy(lesson.features.astype(np.float32)))
        _descend(recipe, network, inputs, (spectra, shares), generator, epoch_done)


def _fit_kernel(recipe: Recipe, scaling: Scaling, lesson: Lesson) -> KernelMember | None:
    """The kernel machine of an ensemble; it learns the components of the same decoder."""
    if recipe.kernel is None:
        return None
    varies = (scaling.projection != 0.0).any(axis=1)
    seen = varies & ~_hidden(recipe, len(varies))
    weights = feature_weights(scaling.scale.astype(np.float64), seen, recipe.kernel.own_scale)
    clipped = np.clip((lesson.features - scaling.centre) * scaling.scale, -CLIP, CLIP)
    lengths = np.sqrt((scaling.decoder**2).sum(axis=1))
    components = (lesson.spectra - scaling.mean_spectrum) @ (scaling.decoder.T / lengths)
    x, w, y = (torch.from_numpy(a.astype(np.float32)) for a in (clipped, weights, components))
    with _one_thread(), torch.no_grad():
        kernel = fit_kernel(recipe.kernel, x, w, y, torch.from_numpy(lesson.shares), lesson.seed)
        kernel.coefficients.div_(torch.from_numpy(lengths))
        return KernelMember(kernel)


def _hidden(recipe: Recipe, n_features: int) -> NDArray[np.bool_]:
    """(n_features,): what the kernel does not see."""
    if recipe.kernel is None or not recipe.kernel.without:
        return np.zeros(n_features, dtype=np.bool_)
    names = Descriptor(recipe.descriptor).names
    return np.array([name.startswith(recipe.kernel.without) for name in names])


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one core: two networks on one core each are faster than one on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _descend(
    recipe: Recipe,
    network: Ensemble,
    inputs: Tensor,
    wanted: tuple[Tensor, Tensor],
    generator: Generator,
    epoch_done: EpochDone,
) -> None:
    """Train in place; the weights end as their moving average. wanted: spectra, and their shares
    of the loss."""
    spectra, shares = wanted
    n = len(inputs)
    batch = min(recipe.batch, n)
    steps = n // batch
    optimiser, schedule = _optimiser(recipe, network, steps * recipe.epochs)
    averages = [parameter.detach().clone() for parameter in network.parameters()]
    for _ in range(recipe.epochs):
        order = torch.randperm(n, generator=generator)
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            outputs = network.outputs(inputs[chosen], generator)
            loss = (shares[chosen] * _losses(recipe, outputs[0], spectra[chosen])).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            _average(averages, network, recipe.average_decay)
            total += float(loss.detach())
        epoch_done(total / steps)
    with torch.no_grad():
        for parameter, average in zip(network.parameters(), averages, strict=True):
            parameter.copy_(average)


def _optimiser(
    recipe: Recipe, network: Ensemble, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": list(network.weights), "weight_decay": recipe.weight_decay},
        {"params": list(network.biases), "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    if not recipe.one_cycle:
        return optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    total = max(steps + 1, SHORTEST_CYCLE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=total, pct_start=0.1
    )
    return optimiser, schedule


def _losses(recipe: Recipe, outputs: Tensor, targets: Tensor) -> Tensor:
    """(n,), of each spectrum."""
    if recipe.loss == "l1":
        return (outputs - targets).abs().sum(-1) / targets.sum(-1)
    return ((outputs - targets) ** 2).mean(-1)


def _average(averages: list[Tensor], network: Ensemble, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(averages, list(network.parameters()), 1.0 - decay)
