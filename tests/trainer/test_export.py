from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnxruntime
import torch

from trainer.calibrate import (
    ErrorModel,
    cross_fitted_sigma,
    fit_error_model,
    smoothing_matrix,
)
from trainer.export import to_onnx
from trainer.fit import fit
from trainer.networks import Predictor
from trainer.predictor import answer, assemble
from trainer.recipe import Recipe, recipe_of
from xas.measures import coverage

pytestmark = pytest.mark.train

ENERGY = np.linspace(0.0, 30.0, 31)


def made_predictor(recipe: Recipe, seed: int = 3) -> tuple[Predictor, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.gamma(2.0, size=(200, 40))
    features[:, 5] = 1.0
    spectra = 1.0 + np.tanh(features @ rng.normal(size=(40, 31)) / 10.0) ** 2
    if recipe.kernel:  # the features are no descriptor's
        recipe = replace(recipe, kernel=replace(recipe.kernel, without="", rank=8))
    error_model = ErrorModel(factor=1.7, floor=np.full(31, 0.01), growth=0.5)
    return assemble(fit(recipe, features, spectra), error_model, 3.0, ENERGY, features), features


@pytest.mark.parametrize("preset", ["default", "xanesnet-2022"])
@pytest.mark.parametrize("members", [1, 3])
def test_onnx_and_pytorch_agree_within_5e_5(preset: str, members: int) -> None:
    predictor, features = made_predictor(
        recipe_of(preset, members=members, epochs=2, hidden=64, threads=1)
    )
    asked = np.concatenate([features * 1.01, 50.0 * features, np.zeros((1, 40))])
    session = onnxruntime.InferenceSession(to_onnx(predictor), providers=["CPUExecutionProvider"])
    got = session.run(["mean", "std", "novelty"], {"features": asked.astype(np.float32)})
    mean, std, novelty = answer(predictor, asked)
    np.testing.assert_allclose(got[0], mean, atol=5e-5)
    np.testing.assert_allclose(got[1], std, atol=5e-5)
    np.testing.assert_allclose(got[2], novelty, atol=1e-4, rtol=1e-4)


def test_large_weights_are_stored_in_two_bytes() -> None:
    recipe = recipe_of("default", members=2, epochs=1, hidden=128, threads=1)
    predictor, _ = made_predictor(replace(recipe, kernel=None))
    n_weights = sum(weight.numel() for weight in predictor.ensemble.weights)
    assert len(to_onnx(predictor)) < 2.6 * n_weights


def test_training_points_are_near_and_others_far() -> None:
    predictor, features = made_predictor(recipe_of("default", members=1, epochs=1, threads=1))
    known, near, far = (answer(predictor, x)[2] for x in (features, features + 0.1, 9 * features))
    assert np.median(known) < np.median(near)
    assert max(known.max(), near.max()) < far.min()


def test_a_feature_that_never_varied_counts_as_new() -> None:
    predictor, features = made_predictor(recipe_of("default", members=1, epochs=1, threads=1))
    surprising = features.copy()
    surprising[:, 5] += 10.0
    assert (answer(predictor, surprising)[2] > answer(predictor, features)[2] + 0.5).all()
    np.testing.assert_array_equal(answer(predictor, surprising)[0], answer(predictor, features)[0])


def test_calibrated_errors_cover_what_they_should_on_other_data() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 3.0, (600, 1)) * np.ones(31)
    residual = rng.normal(size=(600, 31)) * np.sqrt((2.0 * spread) ** 2 + 0.5**2)
    novelty = np.ones(600)
    model = fit_error_model(residual[:300], spread[:300] ** 2, novelty[:300], ENERGY)
    sigma = model.sigma(spread[300:] ** 2, novelty[300:])
    assert coverage(0 * residual[300:], sigma, residual[300:]) == pytest.approx(0.6827, abs=0.02)
    assert model.factor == pytest.approx(2.0, rel=0.15)


def test_each_fold_is_calibrated_without_itself() -> None:
    rng = np.random.default_rng(0)
    residual, variance = rng.normal(size=(100, 31)), np.ones((100, 31))
    fold, novelty = np.arange(100) % 2, np.ones(100)
    before = cross_fitted_sigma(residual, variance, novelty, ENERGY, fold)
    residual[fold == 0] *= 100.0
    after = cross_fitted_sigma(residual, variance, novelty, ENERGY, fold)
    np.testing.assert_array_equal(before[fold == 0], after[fold == 0])


def test_a_single_network_s_errors_grow_with_the_novelty() -> None:
    rng = np.random.default_rng(0)
    novelty = rng.uniform(0.2, 2.0, 600)
    residual = rng.normal(size=(600, 31)) * novelty[:, None]
    model = fit_error_model(residual[:300], np.zeros((300, 31)), novelty[:300], ENERGY)
    sigma = model.sigma(np.zeros((300, 31)), novelty[300:])
    assert model.growth == 1.0
    assert coverage(0 * residual[300:], sigma, residual[300:]) == pytest.approx(0.6827, abs=0.02)


def test_spread_is_averaged_over_energy_on_any_grid() -> None:
    for energy in (ENERGY, np.array([0.0, 0.1, 0.2, 9.0, 30.0, 80.0])):
        matrix = smoothing_matrix(energy)
        np.testing.assert_allclose(matrix.sum(axis=0), 1.0)


def test_folding_the_projection_changes_nothing_but_the_work() -> None:
    rng = np.random.default_rng(3)
    features, spectra = rng.gamma(2.0, size=(200, 40)), rng.uniform(1.0, 2.0, (200, 31))
    recipe = recipe_of("default", members=1, epochs=1, hidden=16, threads=1)
    ensemble = fit(replace(recipe, kernel=None), features, spectra)
    asked = torch.from_numpy(features.astype(np.float32))
    before = ensemble(asked)
    ensemble.fold_projection()
    assert ensemble.projection is None
    torch.testing.assert_close(ensemble(asked), before, rtol=1e-5, atol=1e-5)
