from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_labels import ENERGY, made_labels

pytest.importorskip("torch")

from model_store.bundle import Bundle
from model_store.runtime import Session
from model_store.store import Store
from trainer.archive import read_labels
from trainer.kept_answers import KEPT
from trainer.recipe import recipe_of
from trainer.train import featurise, train
from trainer.transfer import Start, fit_transfer
from xas.errors import Reject
from xas.measures import percentage_error

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, labels_file: Path) -> Store:
    store = Store([tmp_path_factory.mktemp("models")], builtin=False)
    train("known", labels_file, store, quick=True, epochs=60, threads=1)
    return store


@pytest.fixture(scope="module")
def other_theory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other molecules, another grid, everything 1 eV higher and less broad."""
    labels = made_labels(n=40, seed=5)
    grid = ENERGY[2:-2:2]
    shifted = [1.2 * np.interp(grid - 1.0, ENERGY, mu) ** 1.1 for mu in labels["mu"]]
    path = tmp_path_factory.mktemp("other") / "other.npz"
    np.savez(path, **{**labels, "mu": np.array(shifted, dtype=np.float32), "energy": grid})
    return path


@pytest.fixture(scope="module")
def moved(store: Store, other_theory: Path) -> Bundle:
    return train("moved", other_theory, store, quick=True, start_from=store.get("known"))


def test_a_start_learns_another_theory_from_few_labels(moved: Bundle, other_theory: Path) -> None:
    labels = read_labels(other_theory)
    naive = percentage_error(np.broadcast_to(labels.intensity.mean(0), (40, 29)), labels.intensity)
    row = moved.manifest.quality[0]
    assert row.percent.median < 0.3 * float(np.median(naive))
    assert "known@1, from which it started" in row.split
    assert moved.manifest.training is not None
    assert KEPT not in moved.manifest.files  # the start may know what the folds held out
    assert moved.manifest.training.command.endswith("--quick --start-from known@1")


def test_the_graph_of_a_transfer_says_what_was_fitted(
    store: Store, moved: Bundle, other_theory: Path
) -> None:
    labels, recipe = read_labels(other_theory), recipe_of("default")
    features = featurise(recipe, labels)
    known = Start(store.get("known")).of(features)
    wanted = fit_transfer(known, labels.intensity, labels.weights).predict(known)
    mean, std, novelty = Session(moved).run(features)
    np.testing.assert_allclose(mean, wanted, atol=2e-3)
    np.testing.assert_allclose(novelty, known.novelty, rtol=1e-5)
    assert (std > 0.0).all()


def test_a_transfer_answers_its_check_input_and_can_be_started_from(
    store: Store, moved: Bundle, labels_file: Path
) -> None:
    check = moved.check()
    recipe = recipe_of("default")
    again = train("back", labels_file, store, quick=True, start_from=moved)
    assert again.manifest.quality[0].percent.median < 3.0
    assert len(check.mean[0]) == 29
    assert again.manifest.descriptor == recipe.descriptor


def test_a_model_without_a_kernel_is_refused(store: Store, labels_file: Path) -> None:
    bare = train("bare", labels_file, store, preset="xanesnet-2022", quick=True, epochs=1)
    with pytest.raises(Reject, match="bare@1 has no kernel machine to start from"):
        Start(bare)
