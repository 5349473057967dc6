"""scikit-learn pipelines: opened only where they are trusted, and compared with their graph."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skl2onnx")

import joblib
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_store.runtime import Session
from model_store.store import Store
from trainer.importers.imported import put_imported
from trainer.importers.sklearn_pipeline import import_sklearn
from xas.errors import BadModel, Reject

pytestmark = pytest.mark.train

N_FEATURES, N_ENERGY = 17, 21
MANIFEST: dict[str, Any] = {
    "name": "pipeline",
    "element": "Fe",
    "edge": "K",
    "input": {"descriptor": {"dialect": "redux", "r_min": 0.0, "n_g2": 8, "n_g4": 8}},
    "output": {"energy_ev": "7100:7140:21", "unit": "normalised"},
}


def labels(n_energy: int = N_ENERGY) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.gamma(2.0, size=(60, N_FEATURES))
    return features, np.tanh(features @ rng.normal(0, 0.1, (N_FEATURES, n_energy)))


def fitted(regressor: Any, n_energy: int = N_ENERGY) -> Any:
    with warnings.catch_warnings(action="ignore"):  # few iterations are enough here
        return make_pipeline(StandardScaler(), regressor).fit(*labels(n_energy))


def put(folder: Path, pipeline: Any, name: str = "model.joblib", **changes: Any) -> Session:
    joblib.dump(pipeline, folder / name)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | changes))
    found = import_sklearn(folder / name, folder / "manifest.json", trust=True)
    return Session(put_imported(found, Store([folder / "models"])))


@pytest.mark.parametrize(
    "regressor",
    [
        Ridge(),
        MLPRegressor(hidden_layer_sizes=(12, 8), max_iter=5, random_state=0),
        RandomForestRegressor(4, max_depth=4, random_state=0),
    ],
)
def test_a_pipeline_predicts_through_its_graph_what_it_predicts_itself(
    tmp_path: Path, regressor: Any
) -> None:
    pipeline = fitted(regressor)
    session = put(tmp_path, pipeline)
    features = labels()[0].astype(np.float32)
    mean, std, _ = session.run(features)
    np.testing.assert_allclose(mean, pipeline.predict(features), rtol=0, atol=1e-5)
    assert not std.any()
    origin = session.bundle.manifest.origin
    assert origin is not None
    assert origin.program == "scikit-learn"
    assert origin.settings["steps"] == ["StandardScaler", type(regressor).__name__]
    assert origin.difference is not None
    assert origin.difference < 1e-5


def test_a_plain_pickle_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fitted(Ridge())))
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert import_sklearn(tmp_path / "model.pkl", tmp_path / "manifest.json", trust=True).model


class Intruder:
    """Runs something when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_nothing_is_opened_without_trust(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Intruder(mark)))
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    with pytest.raises(Reject, match=r"opening it runs whatever its maker put into it.*--trust"):
        import_sklearn(tmp_path / "model.pkl", tmp_path / "manifest.json", trust=False)
    assert not mark.exists()
    with pytest.raises(BadModel, match="predicts nothing"):
        import_sklearn(tmp_path / "model.pkl", tmp_path / "manifest.json", trust=True)
    assert mark.exists()


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        (make_pipeline(StandardScaler(), Ridge()), "is not fitted"),
        (fitted(Ridge(), 7), r"gives \(2, 7\) for two sites, the manifest 21 energies"),
        (Ridge().fit(np.ones((3, 4)), np.ones((3, N_ENERGY))), "takes 4 features"),
        (StandardScaler().fit(labels()[0]), "predicts nothing"),
        ({"a": 1}, "a dict, which predicts nothing"),
    ],
)
def test_what_is_no_fitted_pipeline_of_these_shapes_is_refused(
    tmp_path: Path, pipeline: Any, reason: str
) -> None:
    with pytest.raises(BadModel, match=reason) as caught:
        put(tmp_path, pipeline)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    pipeline = fitted(Ridge())
    pipeline[-1].coef_[0, 0] = np.nan
    with pytest.raises(BadModel, match=r"not finite|NaN"):
        put(tmp_path, pipeline)


class Doubled(Ridge):
    """A regressor that no converter knows."""

    def predict(self, X: Any) -> Any:  # noqa: N803
        return 2.0 * super().predict(X)


def test_a_step_without_converter_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="skl2onnx cannot convert StandardScaler, Doubled"):
        put(tmp_path, fitted(Doubled()))


def test_a_pipeline_of_another_version_is_refused_with_the_one_to_install(tmp_path: Path) -> None:
    data = pickle.dumps(fitted(Ridge()))
    import sklearn

    other = "0" * len(sklearn.__version__)
    (tmp_path / "model.pkl").write_bytes(data.replace(sklearn.__version__.encode(), other.encode()))
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    with pytest.raises(BadModel, match=f"pip install scikit-learn=={other}"):
        import_sklearn(tmp_path / "model.pkl", tmp_path / "manifest.json", trust=True)


@pytest.mark.parametrize("data", [b"", b"not a pickle", b"\x80\x04cnowhere\nnothing\n."])
def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.pkl").write_bytes(data)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    with pytest.raises(BadModel, match="cannot be opened as joblib or pickle"):
        import_sklearn(tmp_path / "model.pkl", tmp_path / "manifest.json", trust=True)
