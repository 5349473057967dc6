"""A fitted scikit-learn pipeline and a manifest written by hand, as a bundle of ours.

Its file is a pickle: opening it runs whatever its maker put into it. So it is opened only where
somebody says that they trust it, and what a worker gets is a graph, never the pickle.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Manifest
from trainer.importers.bare_onnx import imported_of
from trainer.importers.extras import require_sklearn
from trainer.importers.hand_written import read_draft
from trainer.importers.imported import F32, Imported, origin_of
from xas.errors import BadModel, Reject

OPSET = {"": 17, "ai.onnx.ml": 3}


def import_sklearn(path: Path, manifest: Path, *, trust: bool, command: str = "") -> Imported:
    """The pipeline of a .joblib or .pkl file, from features to spectra, through skl2onnx.

    The graph must give what the pipeline itself gives for the check structures.

    Raises Reject without ``trust`` and where the ``sklearn`` extra is missing, BadModel for
    anything that is not a fitted regressor of the manifest's shapes, or cannot be converted.
    """
    if not trust:
        raise Reject(
            f"{path} is a pickle: opening it runs whatever its maker put into it. If you made it, "
            "or trust who did, say --trust; else ask for an ONNX file (models import onnx)"
        )
    require_sklearn()
    draft = read_draft(manifest)
    pipeline = _load(path)
    _require_shapes(pipeline, draft, path)
    files = {found.name: found for found in (path, manifest)}
    origin = origin_of("scikit-learn", files, command, "scikit-learn", "skl2onnx")
    origin = msgspec.structs.replace(origin, settings={"steps": _steps(pipeline)})
    data = _converted(pipeline, draft, path)

    def original(features: F32) -> NDArray[np.floating]:
        return np.asarray(pipeline.predict(features.astype(np.float64)), dtype=np.float64)

    return imported_of(data, draft, origin, str(path), original)


def _load(path: Path) -> Any:
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", InconsistentVersionWarning)
            return joblib.load(path)
    except InconsistentVersionWarning as warning:
        raise BadModel(
            f"{path}: saved by scikit-learn {warning.original_sklearn_version}, here is "
            f"{warning.current_sklearn_version}, which may compute other numbers: "
            f"pip install scikit-learn=={warning.original_sklearn_version}"
        ) from None
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # noqa: BLE001 - a pickle raises what it likes
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadModel(
            f"{path}: cannot be opened as joblib or pickle ({reason}); every class in it must be "
            "installed here"
        ) from None


def _require_shapes(pipeline: Any, draft: Manifest, path: Path) -> None:
    if not hasattr(pipeline, "predict"):
        raise BadModel(f"{path}: holds a {type(pipeline).__name__}, which predicts nothing")
    taken, wanted = getattr(pipeline, "n_features_in_", None), draft.descriptor.n_features
    if taken is None:
        raise BadModel(f"{path}: the {type(pipeline).__name__} is not fitted: fit it, save again")
    if taken != wanted:
        raise BadModel(
            f"{path}: the pipeline takes {taken} features, the descriptor in the manifest gives "
            f"{wanted}: name the descriptor that it was fitted to"
        )
    spectra, n_energy = _try(pipeline, wanted, path), len(draft.output.energy_ev)
    if spectra.shape != (2, n_energy):
        raise BadModel(
            f"{path}: the pipeline gives {spectra.shape} for two sites, the manifest {n_energy} "
            "energies: give the grid of the spectra that it was fitted to"
        )


def _try(pipeline: Any, n_features: int, path: Path) -> NDArray[np.floating]:
    try:
        return np.asarray(pipeline.predict(np.ones((2, n_features))))
    except Exception as error:  # noqa: BLE001 - estimators raise what they like
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadModel(f"{path}: the pipeline cannot predict ({reason}); is it fitted?") from None


def _steps(pipeline: Any) -> list[str]:
    steps = getattr(pipeline, "steps", None) or [("", pipeline)]
    return [type(step).__name__ for _, step in steps]


def _converted(pipeline: Any, draft: Manifest, path: Path) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    taken = [("features", FloatTensorType([None, draft.descriptor.n_features]))]
    try:
        with warnings.catch_warnings(action="ignore"):
            model = convert_sklearn(pipeline, initial_types=taken, target_opset=OPSET)
    except Exception as error:  # noqa: BLE001 - its converters raise what they like
        reason = " ".join(str(error).split())[:200]
        raise BadModel(
            f"{path}: skl2onnx cannot convert {', '.join(_steps(pipeline))} ({reason}); use steps "
            "that it supports"
        ) from None
    _give_rows(model.graph, len(draft.output.energy_ev))
    return bytes(model.SerializeToString())


def _give_rows(graph: Any, n_energy: int) -> None:
    """Undo that skl2onnx gives the spectra of an MLPRegressor end to end, as (n n_energy, 1)."""
    from onnx import TensorProto, helper, numpy_helper

    rows = numpy_helper.from_array(np.array([-1, n_energy], dtype=np.int64), "rows")
    graph.initializer.append(rows)
    graph.node.append(helper.make_node("Reshape", [graph.output[0].name, "rows"], ["spectra"]))
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("spectra", TensorProto.FLOAT, ["n", n_energy])
    )
