"""What importing needs beyond the rest of edgestream."""

from __future__ import annotations

from importlib.util import find_spec

from xas.errors import Reject


def require_onnx() -> None:
    """Raise Reject with one line unless the onnx package is installed."""
    _require("train", "onnx")


def require_sklearn() -> None:
    """Raise Reject with one line unless scikit-learn and its converter are installed."""
    _require("sklearn", "onnx", "sklearn", "skl2onnx", "joblib")


def _require(extra: str, *modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise Reject(
            f"this import needs {' and '.join(missing)}, which this installation lacks: "
            f"pip install 'edgestream[{extra}]'"
        )
