"""What training needs beyond the rest of edgestream: the ``train`` extra."""

from __future__ import annotations

from importlib.util import find_spec

from xas.errors import Reject


def require_extra() -> None:
    """Raise Reject with one line unless PyTorch and onnx are installed."""
    missing = [name for name in ("torch", "onnx") if not _is_there(name)]
    if missing:
        raise Reject(
            f"training needs {' and '.join(missing)}, which this installation lacks: "
            "pip install 'edgestream[train]'"
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
