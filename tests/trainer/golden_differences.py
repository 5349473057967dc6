"""How far imported models are from the numbers of the original programs.

python tests/trainer/golden_differences.py     prints the table (needs ../shared/data)
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
from sklearn.feature_selection import VarianceThreshold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from model_store.bundle import Bundle
from trainer.importers.dialect import spec_of
from trainer.importers.imported import write_bundle
from trainer.importers.sklearn_pipeline import import_sklearn
from trainer.importers.xanesnet import Request, import_xanesnet
from workers.predictor import Predictor
from xas.descriptor import Descriptor, DescriptorSpec
from xas.neighbours import join, vectors_within
from xas.structure import Sites, StructureBatch
from xas.wacsf import wacsf

P1 = {"r_min": 0.0, "r_max": 6.0, "n_g2": 32, "n_g4": 64, "z": [1.0, 2.0, 4.0, 8.0]}
P3 = {"r_min": 1.0, "r_max": 6.0, "n_g2": 16, "n_g4": 32}
DIALECTS: dict[str, dict[str, Any]] = {
    "newcastle_P1": {"dialect": "newcastle", **P1},
    "newcastle_P3": {"dialect": "newcastle", **P3},
    "redux_2021": {"dialect": "redux", **P1},
    "conexs_P1": {"dialect": "conexs", **P1},
    "conexs_P3": {"dialect": "conexs", **P3},
}
MODELS = ("single", "ensemble", "bootstrap", "gaussian", "fourier")
WITHOUT_SIDE_FILE = ("ensemble", "bootstrap", "fourier")
PIPELINES = ("a", "b")
GRID = "7097:7172:226"


class Golden:
    """The numbers of the original programs, and the structures they belong to."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "golden_xanesnet"
        with np.load(self.folder / "features.npz") as found:
            self.features = dict(found)
        with np.load(data / "fe_k_xanesnet.npz") as found:
            self.energy = found["energy"]
            offsets, numbers, positions = (found[k] for k in ("offsets", "numbers", "positions"))
        parts = [slice(offsets[i], offsets[i + 1]) for i in self.features["index"]]
        self._structures = [(numbers[p], positions[p]) for p in parts]
        moved = [slice(a, b) for a, b in pairwise(self.features["moved_offsets"])]
        self._moved = [
            (self.features["moved_numbers"][p], self.features["moved_positions"][p]) for p in moved
        ]

    def batch(self, suffix: str = "") -> StructureBatch:
        """The structures as edgestream takes them: coordinates rounded to float32."""
        structures = self._moved if suffix else self._structures
        sizes = [len(numbers) for numbers, _ in structures]
        return StructureBatch.from_arrays(
            np.concatenate([numbers for numbers, _ in structures]),
            np.concatenate([positions for _, positions in structures]),
            np.cumsum([0, *sizes]),
        )

    def unrounded(self, spec: DescriptorSpec, suffix: str) -> np.ndarray:
        """Features from coordinates in float64, as REDUX reads them."""
        sites = []
        for numbers, positions in self._moved if suffix else self._structures:
            vectors, owner = vectors_within(positions.astype(np.float64), 0, spec.cutoff_angstrom)
            sites.append((vectors, numbers[owner]))
        return wacsf(spec, join(sites))[0]


def features_of(golden: Golden, dialect: str, suffix: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Ours, by the importer's spec for the dialect, and the program's; (n, n_features) float64."""
    spec = spec_of(DIALECTS[dialect], dialect)
    if dialect.startswith("redux") and suffix:
        ours = golden.unrounded(spec, suffix)
    else:
        batch = golden.batch(suffix)
        ours = Descriptor(spec).featurise(batch, first_atoms(batch)).values
    return ours, golden.features[f"{dialect}{suffix}_f64"]


def first_atoms(batch: StructureBatch) -> Sites:
    """The absorber of the golden structures: atom 0."""
    return Sites(np.arange(len(batch)), np.zeros(len(batch), dtype=np.int64))


def import_newcastle(golden: Golden, model: str, folder: Path, **said: Any) -> Bundle:
    """A golden model, its energies from the side file or, without one, as the user gives them."""
    grid = folder / "energy.txt"
    np.savetxt(grid, golden.energy, fmt="%.2f")
    energy = str(grid) if model in WITHOUT_SIDE_FILE else None
    request = Request(**{"element": "Fe", "name": "golden", "energy": energy} | said)
    imported = import_xanesnet(golden.folder / f"newcastle_mlp_{model}", request)
    bundle = folder / "bundle"
    bundle.mkdir()
    return write_bundle(imported, bundle)


def predictions_of(golden: Golden, bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std of the 24 structures, through the predictor that workers use."""
    batch = golden.batch()
    prediction = Predictor(bundle).predict(batch, first_atoms(batch))
    assert not prediction.reasons
    return prediction.intensity, prediction.errors


def rebuilt_pipeline(arrays: dict[str, np.ndarray]) -> Pipeline:
    """The fitted pipeline that REDUX saved, from its arrays."""
    threshold = VarianceThreshold(float(arrays["variance_threshold"]))
    threshold.variances_ = np.where(arrays["variance_mask"], np.inf, 0.0)
    threshold.n_features_in_ = len(arrays["variance_mask"])
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = arrays["scaler_mean"], arrays["scaler_scale"]
    scaler.var_, scaler.n_features_in_ = arrays["scaler_var"], len(arrays["scaler_mean"])
    n_layers = sum(name.startswith("weight_") for name in arrays)
    weights = [arrays[f"weight_{k}"] for k in range(n_layers)]
    network = MLPRegressor(
        hidden_layer_sizes=tuple(w.shape[1] for w in weights[:-1]),
        activation=str(arrays["activation"]),
    )
    network.coefs_, network.intercepts_ = weights, [arrays[f"bias_{k}"] for k in range(n_layers)]
    network.n_layers_, network.n_outputs_ = n_layers + 1, weights[-1].shape[1]
    network.out_activation_, network.n_features_in_ = "identity", weights[0].shape[0]
    network._label_binarizer = LabelBinarizer()
    return Pipeline([("threshold", threshold), ("scaler", scaler), ("network", network)])


def import_redux(golden: Golden, pipeline: str, folder: Path) -> tuple[Bundle, np.ndarray]:
    """A golden REDUX pipeline through scikit-learn, and what it predicted."""
    with np.load(golden.folder / "redux_mlp" / f"pipeline_{pipeline}.npz") as found:
        arrays = dict(found)
    joblib.dump(rebuilt_pipeline(arrays), folder / "model.joblib")
    draft = {
        "name": "redux",
        "element": "Fe",
        "edge": "K",
        "input": {"descriptor": DIALECTS["redux_2021"]},
        "output": {"energy_ev": (arrays["energy_grid"] + 7112.0).tolist(), "unit": "as mu"},
    }
    (folder / "manifest.json").write_bytes(msgspec.json.encode(draft))
    imported = import_sklearn(folder / "model.joblib", folder / "manifest.json", trust=True)
    (folder / "bundle").mkdir()
    return write_bundle(imported, folder / "bundle"), arrays["prediction"]


def rows(golden: Golden) -> Iterator[tuple[str, str, float, float]]:
    """What, of which dialect or model, largest absolute and relative difference."""
    for dialect in DIALECTS:
        for suffix in ("", "_moved"):
            ours, theirs = features_of(golden, dialect, suffix)
            difference = np.abs(ours - theirs)
            relative = (difference / np.maximum(np.abs(theirs), 1e-12)).max()
            yield "features", dialect + suffix, difference.max(), relative
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            mean, std = predictions_of(golden, import_newcastle(golden, model, Path(folder)))
        with np.load(golden.folder / f"newcastle_mlp_{model}" / "predictions.npz") as found:
            for name, ours in (("mean", mean), ("std", std)):
                difference = np.abs(ours - found[name])
                yield name, model, difference.max(), difference.max() / np.abs(found["mean"]).max()
    for pipeline in PIPELINES:
        with tempfile.TemporaryDirectory() as folder:
            bundle, theirs = import_redux(golden, pipeline, Path(folder))
            difference = np.abs(predictions_of(golden, bundle)[0] - theirs)
        yield "mean", f"redux {pipeline}", difference.max(), difference.max() / theirs.max()


def main() -> None:
    """Print the table."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    golden = Golden(Path(os.environ.get("EDGESTREAM_DATA", beside)))
    sys.stdout.write(
        "| | dialect or model | largest difference | relative |\n|---|---|---:|---:|\n"
    )
    for what, which, absolute, relative in rows(golden):
        sys.stdout.write(f"| {what} | {which} | {absolute:.1e} | {relative:.1e} |\n")


if __name__ == "__main__":
    main()
