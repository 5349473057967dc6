"""X-ray absorption spectra predicted from atomic structures while the structures still arrive.

connect     a running service, or one of its own on this machine; runs are pushed through it
predict     spectra of structures, in this process, without any service
open_run    a result file, finished or growing
match       a measured spectrum against a predicted one
Spectra     what ``predict`` returns: energy, intensity, errors
EdgestreamError   the root of every error raised on purpose
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xas.errors import EdgestreamError

if TYPE_CHECKING:
    from edgestream.client import connect
    from edgestream.match import match
    from edgestream.prediction import Spectra, open_run, predict

_ROOMS = {
    "connect": "edgestream.client",
    "match": "edgestream.match",
    "predict": "edgestream.prediction",
    "open_run": "edgestream.prediction",
    "Spectra": "edgestream.prediction",
}

__all__ = ["EdgestreamError", "Spectra", "connect", "match", "open_run", "predict"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is used: ``edgestream --help`` must not wait for HDF5."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'edgestream' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ROOMS[name]), name)
