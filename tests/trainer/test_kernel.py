from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from trainer.kernel import KernelMember, fit_kernel, matern
from trainer.recipe import KernelRecipe

pytestmark = pytest.mark.train

RECIPE = KernelRecipe(rank=6, without="")


def made(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """20 features of which 2 matter, and 3 components."""
    x = np.random.default_rng(seed).normal(size=(n, 20)).astype(np.float32)
    y = np.stack([np.sin(2.0 * x[:, 0]), x[:, 1], x[:, 0] * x[:, 1]], axis=1)
    return torch.from_numpy(x), torch.from_numpy(y)


def error(recipe: KernelRecipe) -> float:
    x, y = made(300, seed=1)
    asked, wanted = made(200, seed=2)
    member = KernelMember(
        fit_kernel(recipe, x, torch.ones(20), y, torch.ones(len(x), dtype=torch.float64), seed=0)
    )
    return float((member(asked) - wanted).abs().mean())


def test_the_metric_finds_the_features_that_matter() -> None:
    assert error(RECIPE) < 0.6 * error(replace(RECIPE, rounds=0, rank=20))


def test_few_centres_learn_from_all_labels() -> None:
    few = error(replace(RECIPE, points=100))
    assert error(RECIPE) < few < error(replace(RECIPE, rounds=0, rank=20))


def test_the_same_seed_gives_the_same_kernel() -> None:
    x, y = made(120, seed=1)
    first, again = (
        fit_kernel(RECIPE, x, torch.ones(20), y, torch.ones(len(x), dtype=torch.float64), seed=3)
        for _ in range(2)
    )
    assert torch.equal(first.coefficients, again.coefficients)
    assert first.metric.shape == (20, 6)


def test_a_feature_of_no_weight_is_not_seen() -> None:
    x, y = made(120, seed=1)
    weights = torch.ones(20)
    weights[7] = 0.0
    assert (
        not fit_kernel(RECIPE, x, weights, y, torch.ones(120, dtype=torch.float64), seed=0)
        .metric[7]
        .any()
    )


def test_fewer_labels_than_features_are_enough() -> None:
    x, y = made(12, seed=1)
    kernel = fit_kernel(
        RECIPE, x, torch.ones(20), y, torch.ones(len(x), dtype=torch.float64), seed=0
    )
    assert float((KernelMember(kernel)(x) - y).abs().max()) < 0.1


def test_the_kernel_is_one_at_no_distance_and_falls() -> None:
    near = matern(torch.tensor([0.0, 0.01, 1.0, 400.0]))
    assert float(near[0]) == 1.0
    assert (near.diff() < 0.0).all()
