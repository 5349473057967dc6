"""A killed training goes on where it was, to the same model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from trainer.archive import read_labels
from trainer.checkpoints import Checkpoints
from trainer.fit import fit, predict
from trainer.recipe import recipe_of
from trainer.train import featurise

pytestmark = pytest.mark.train


def test_a_training_that_was_killed_goes_on_to_the_same_model(
    labels_file: Path, tmp_path: Path
) -> None:
    labels = read_labels(labels_file, 30)
    recipe = replace(recipe_of("fast", quick=True, epochs=6), threads=1)
    features, kept = featurise(recipe, labels), Checkpoints(tmp_path / "kept")
    whole = fit(recipe, features, labels.intensity)
    told: list[float] = []

    def die_in_the_second_member(loss: float) -> None:
        told.append(loss)
        if len(told) > recipe.epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, features, labels.intensity, die_in_the_second_member, kept)
    assert len(list(kept.folder.iterdir())) == 1
    told.clear()
    again = fit(recipe, features, labels.intensity, told.append, kept)
    assert np.isnan(told[: recipe.epochs]).all()
    assert np.isfinite(told[recipe.epochs :]).all()
    np.testing.assert_array_equal(predict(again, features), predict(whole, features))


def test_a_training_of_nine_steps_is_a_training(labels_file: Path) -> None:
    labels = read_labels(labels_file, 24)
    recipe = recipe_of("fast", quick=True, members=1, epochs=3)
    features = featurise(recipe, labels)
    assert np.isfinite(predict(fit(recipe, features, labels.intensity), features)).all()


@pytest.mark.parametrize("damage", [b"", b"PK torn"])
def test_a_torn_checkpoint_is_fitted_again(
    labels_file: Path, tmp_path: Path, damage: bytes
) -> None:
    labels = read_labels(labels_file, 30)
    recipe = replace(recipe_of("fast", quick=True, epochs=6), members=1)
    features, kept = featurise(recipe, labels), Checkpoints(tmp_path / "kept")
    first = fit(recipe, features, labels.intensity, checkpoints=kept)
    (path,) = kept.folder.iterdir()
    path.write_bytes(damage)
    again = fit(recipe, features, labels.intensity, checkpoints=kept)
    np.testing.assert_array_equal(predict(again, features), predict(first, features))
