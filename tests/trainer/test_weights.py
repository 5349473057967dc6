"""A label counts as much as its weight says: in the fit, in the error bars, and in a judgement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from trainer.archive import read_labels
from trainer.calibrate import evenly
from trainer.evaluate import OutOfFold
from trainer.fit import fit, predict
from trainer.kernel import KernelMember, fit_kernel
from trainer.recipe import KernelRecipe, recipe_of
from trainer.train import featurise
from trainer.transfer import Known, fit_transfer
from xas.errors import BadLabels

pytestmark = pytest.mark.train

LIGHT = 1e-4


@pytest.mark.parametrize("points", [1000, 150])
def test_a_kernel_learns_little_from_light_labels(points: int) -> None:
    x = np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)
    right, wrong = np.sin(x[:, :2]), 3.0 + x[:, :2]
    recipe = KernelRecipe(rank=8, without="", points=points)
    wrongly = np.arange(300) % 3 == 0
    y = torch.from_numpy(np.where(wrongly[:, None], wrong, right))
    errors = []
    for weight in (1.0, LIGHT):
        shares = torch.from_numpy(np.where(wrongly, weight, 1.0))
        x_t = torch.from_numpy(x)
        member = KernelMember(fit_kernel(recipe, x_t, torch.ones(8), y, shares, seed=0))
        errors.append(np.abs(member(x_t).numpy() - right).mean())
    assert errors[1] < 0.2 * errors[0]


def test_networks_learn_little_from_light_labels(labels_file: Path) -> None:
    labels = read_labels(labels_file, 30)
    hasty = recipe_of("fast", quick=True, members=1, epochs=25, learning_rate=0.03)
    recipe = replace(hasty, kernel=None)
    features, wrongly = featurise(recipe, labels), np.arange(len(labels)) % 3 == 0
    spectra = np.where(wrongly[:, None], 2.0 * labels.intensity, labels.intensity)
    errors = []
    for weight in (1.0, LIGHT):
        weights = np.where(wrongly, weight, 1.0)
        ensemble = fit(recipe, features, spectra, weights=weights)
        errors.append(np.abs(predict(ensemble, features)[0] - labels.intensity).mean())
    assert errors[1] < 0.4 * errors[0]


def test_a_transfer_learns_little_from_light_labels() -> None:
    rng = np.random.default_rng(2)
    known = Known(rng.normal(size=(80, 5)), rng.normal(size=(80, 3)), np.ones(80))
    right, wrongly = known.mean @ rng.normal(size=(5, 7)), np.arange(80) % 3 == 0
    spectra = np.where(wrongly[:, None], right + 5.0, right)
    errors = [
        np.abs(fit_transfer(known, spectra, weights).predict(known) - right).mean()
        for weights in (np.ones(80), np.where(wrongly, LIGHT, 1.0))
    ]
    assert errors[1] < 0.1 * errors[0]


def test_only_relations_between_weights_count(labels_file: Path) -> None:
    labels = read_labels(labels_file, 30)
    recipe = recipe_of("fast", quick=True, members=1, epochs=2)
    features = featurise(recipe, labels)
    alike = [
        fit(recipe, features, labels.intensity, weights=w * labels.weights) for w in (1.0, 4.0)
    ]
    plain = fit(recipe, features, labels.intensity)
    for ensemble in alike:
        np.testing.assert_array_equal(predict(ensemble, features), predict(plain, features))


def test_each_label_is_drawn_as_often_as_its_weight_says() -> None:
    assert evenly(np.full(7, 0.3), 7).tolist() == list(range(7))
    assert evenly(np.array([1.0, 3.0]), 4).tolist() == [0, 1, 1, 1]
    drawn = evenly(np.array([1.0, 1e-9, 1.0, 2.0]), 400)
    assert np.bincount(drawn, minlength=4).tolist() == [100, 0, 100, 200]


def test_labels_of_little_weight_do_not_widen_the_error_bars() -> None:
    rng = np.random.default_rng(3)
    target, energy = np.zeros((200, 30)), np.arange(30.0)
    size = np.where(np.arange(200) % 4 == 0, 10.0, 0.1)[:, None]
    mean = size * rng.normal(size=target.shape)
    fold, n = np.arange(200) % 5, np.arange(200)
    found = OutOfFold(200, n, fold, mean, np.zeros_like(mean), np.ones(200), target)
    weights = np.where(size[:, 0] > 1.0, LIGHT, 1.0)
    wide, narrow = (
        f.error_model(energy).floor.mean() for f in (found, found.in_proportion(weights))
    )
    assert narrow == pytest.approx(0.1, rel=0.2)
    assert wide > 1.5 * narrow
    with pytest.raises(BadLabels, match="nearly all weight lies on labels of one fold"):
        found.in_proportion(np.where(n == 7, 1.0, 1e-9))
