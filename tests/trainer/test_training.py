from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import Bundle
from model_store.runtime import Session
from model_store.store import Store
from trainer.archive import read_labels
from trainer.progress import Progress
from trainer.recipe import recipe_of
from trainer.train import train
from xas.descriptor import Descriptor
from xas.errors import Reject
from xas.measures import percentage_error

pytestmark = pytest.mark.train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, labels_file: Path) -> Bundle:
    pytest.importorskip("torch")
    store = Store([tmp_path_factory.mktemp("models")], builtin=False)
    return train("made", labels_file, store, quick=True, epochs=150, threads=1)


def features_of(bundle: Bundle, labels_file: Path) -> np.ndarray:
    labels = read_labels(labels_file)
    descriptor = Descriptor(bundle.manifest.descriptor)
    return descriptor.featurise(labels.batch, labels.sites).values.astype(np.float32)


def test_training_learns_a_made_function(trained: Bundle, labels_file: Path) -> None:
    own = [row for row in trained.manifest.quality if row.model == "made"]
    labels = read_labels(labels_file)
    mean_spectrum = np.broadcast_to(labels.intensity.mean(axis=0), labels.intensity.shape)
    naive = float(np.median(percentage_error(mean_spectrum, labels.intensity)))
    assert own[0].percent.median < 0.5 * naive
    mean, _, novelty = Session(trained).run(features_of(trained, labels_file))
    assert np.median(percentage_error(mean, labels.intensity)) < 0.5 * naive
    assert np.median(novelty) < 1.0


def test_a_trained_bundle_reproduces_its_check_input(trained: Bundle) -> None:
    check = trained.check()
    descriptor = Descriptor(trained.manifest.descriptor)
    features = descriptor.featurise(check.batch, check.sites).values.astype(np.float32)
    assert Session(trained).check_fault(features, check) is None


def test_a_trained_bundle_says_how_it_was_made(trained: Bundle, labels_file: Path) -> None:
    training = trained.manifest.training
    assert training.command == (
        "edgestream train made --data made.npz --epochs 150 --threads 1 --quick"
    )
    assert training.data.sha256 == read_labels(labels_file).sha256
    assert training.recipe["epochs"] == 150
    assert (trained.manifest.element, trained.manifest.edge) == ("Fe", "K")
    assert "no formula in two folds" in trained.manifest.quality[0].split


def test_the_error_bars_hold_what_they_say(trained: Bundle) -> None:
    covered = trained.manifest.quality[0].coverage
    assert covered["68"] == pytest.approx(0.6827, abs=0.1)
    assert covered["68"] < covered["95"] < covered["99"] <= 1.0


def test_progress_tells_every_epoch_and_the_time_left(tmp_path: Path, labels_file: Path) -> None:
    seen: list[Progress] = []
    store = Store([tmp_path], builtin=False)
    train("p", labels_file, store, quick=True, epochs=2, threads=1, progress=seen.append)
    assert [p.done for p in seen] == list(range(1, 13))  # 2 epochs of 2 members, 2 folds and all
    assert {p.total for p in seen} == {12}
    assert seen[-1].left_s == 0.0
    assert [p.stage for p in seen[::4]] == [
        "cross-validation in 2 folds",
        "cross-validation in 2 folds",
        "fit to all labels",
    ]


def test_the_same_training_gives_the_same_model(tmp_path: Path, labels_file: Path) -> None:
    store = Store([tmp_path], builtin=False)
    first = train("same", labels_file, store, quick=True, epochs=2, threads=1)
    second = train("same", labels_file, store, quick=True, epochs=2, threads=1)
    assert (first.manifest.version, second.manifest.version) == (1, 2)
    assert first.sha256 == second.sha256
    other = train("same", labels_file, store, quick=True, epochs=2, threads=1, seed=7)
    assert other.sha256 != first.sha256
    beside = train("same", labels_file, store, quick=True, epochs=2, threads=2)
    assert beside.sha256 == first.sha256


def test_giving_up_ends_all_fits_at_their_next_epoch(tmp_path: Path, labels_file: Path) -> None:
    store = Store([tmp_path], builtin=False)
    seen: list[Progress] = []

    def impatient(progress: Progress) -> None:
        seen.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("p", labels_file, store, quick=True, epochs=1000, threads=2, progress=impatient)
    assert len(seen) <= 4


def test_the_paper_s_protocol_is_a_preset(tmp_path: Path, labels_file: Path) -> None:
    store = Store([tmp_path], builtin=False)
    bundle = train("p", labels_file, store, preset="xanesnet-2022", folds=2, epochs=1, threads=1)
    assert bundle.manifest.descriptor.n_features == 97
    assert bundle.manifest.training.recipe["hidden"] == 512
    assert recipe_of("xanesnet-2022").epochs == 512


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"preset": "defualt"},
            "no preset 'defualt'; there are default, fast, materials, xanesnet-2022",
        ),
        ({"members": 0}, "members = 0: at least 1"),
        ({"folds": 1}, "folds = 1: at least 2"),
        ({"edge": "Q9"}, "no edge 'Q9'"),
    ],
)
def test_settings_without_sense_are_refused(
    tmp_path: Path, labels_file: Path, settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(Reject, match=reason):
        train("x", labels_file, Store([tmp_path]), quick=True, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", ["torch", "onnx"])
def test_a_missing_extra_is_one_line_that_says_what_to_install(
    labels_file: Path, module: str
) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None\n"
        "from pathlib import Path\n"
        "from model_store.store import Store\n"
        "from trainer.train import train\n"
        "from xas.errors import Reject\n"
        "try: train('x', Path(sys.argv[1]), Store([Path('/nonexistent')]))\n"
        "except Reject as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(labels_file)], capture_output=True, text=True, check=True
    )
    (line,) = done.stdout.splitlines()
    assert module in line
    assert "pip install 'edgestream[train]'" in line


def test_each_repeat_of_a_cross_validation_deals_the_labels_anew(
    tmp_path: Path, labels_file: Path
) -> None:
    settings = {"quick": True, "epochs": 1, "members": 1, "repeats": 2, "threads": 1}
    bundle = train("r", labels_file, Store([tmp_path], builtin=False), **settings)  # type: ignore[arg-type]
    row = bundle.manifest.quality[0]
    assert row.n_spectra == 120  # 60 labels, twice
    assert "2-fold cross-validation on the training data, 2 times" in row.split
    assert recipe_of("xanesnet-2022").repeats == 5


def test_a_manifest_tells_where_its_intervals_hold(trained: Bundle) -> None:
    assert trained.manifest.calibration is not None
    rows = {row.where: row.held for row in trained.manifest.calibration.coverage}
    assert rows["all"]["95"] == pytest.approx(0.9545, abs=0.05)
    assert "before the edge" in rows
    assert sum("novelty" in where for where in rows) >= 3
