"""The ONNX Runtime session of a bundle; the only room that knows ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_store.buckets import Buckets
from model_store.bundle import Bundle, Check
from xas.errors import BadModel, Stop

if TYPE_CHECKING:
    import onnxruntime

INPUT = "features"
OUTPUTS = ("mean", "std", "novelty")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
CHECK_TOLERANCE = 1e-4
_DEVICE = re.compile(r"cpu|cuda(?::(\d{1,3}))?")
_ERRORS_ONLY = 3


class ProviderMissing(Stop):
    """The asked-for device cannot be used by this process."""


class Session:
    """Runs one bundle's graph on one device; may be shared by threads.

    Raises BadModel for a graph that is not what the manifest says, ProviderMissing where the device
    is not there: it never falls back to another one in silence.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1) -> None:
        """``device``: "cpu", "cuda" or "cuda:1"; ``threads``: of one operator, on the CPU."""
        providers = _providers(device)
        self.bundle = bundle
        self._session = _load(bundle, providers, threads)
        self.provider: str = self._session.get_providers()[0]
        if self.provider != _name(providers[0]):
            raise ProviderMissing(
                f"device {device!r}: {_name(providers[0])} did not start; {_HINT}"
            )
        _require_agreement(bundle, self._session)
        self._buckets = self._bound(device) if self.provider == CUDA else None

    def run(
        self, features: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation (n, n_energy) and novelty (n,), float32.

        features  (n, n_features), as the descriptor of the manifest gives them, rounded to float32
                  here; n may be 0
        """
        if not len(features):
            empty = np.zeros((0, len(self.bundle.manifest.output.energy_ev)), dtype=np.float32)
            return empty, empty.copy(), np.zeros(0, dtype=np.float32)
        rows = np.ascontiguousarray(features, dtype=np.float32)
        if self._buckets is not None:
            mean, std, novelty = self._buckets.run(rows)
        else:
            mean, std, novelty = self._answer(rows)
        return mean, std, novelty

    def _answer(self, rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            answer: list[NDArray[np.float32]] = self._session.run(OUTPUTS, {INPUT: rows})
        except Exception as error:  # noqa: BLE001 - as in _load
            raise BadModel(
                f"{self.bundle.reference}: ONNX Runtime cannot run it: {_first_line(error)}"
            ) from None
        return answer

    def _bound(self, device: str) -> Buckets:
        n_energy = len(self.bundle.manifest.output.energy_ev)
        widths: dict[str, tuple[int, ...]] = {"mean": (n_energy,), "std": (n_energy,)}
        allocate = values_on("cuda", _device_number(device))
        return Buckets(self._session, allocate, INPUT, widths | {"novelty": ()})

    def check_fault(self, features: NDArray[np.floating[Any]], check: Check) -> str | None:
        """What is wrong with this session's answer to the check input; None: nothing.

        features  those of ``check``'s sites, by the descriptor of this process
        """
        expected = (check.mean, check.std, check.novelty)
        for name, got, want in zip(OUTPUTS, self.run(features), expected, strict=True):
            if got.shape != want.shape or not np.isfinite(got).all():
                return f"{name} of the check input is not finite, or of another shape"
            distance = float(np.abs(got - want).max() / max(1.0, float(np.abs(want).max())))
            if distance > CHECK_TOLERANCE:
                return f"{name} of the check input is off by {distance:.1e} (at most 1e-4)"
        return None


def values_on(kind: str, number: int = 0) -> Callable[[list[int]], Any]:
    """What makes a float32 value of a shape in the memory of a device: "cpu" or "cuda"."""
    from onnxruntime import OrtValue

    return lambda shape: OrtValue.ortvalue_from_shape_and_type(shape, np.float32, kind, number)


_HINT = "use --device cpu, or install onnxruntime-gpu with the CUDA and cuDNN it asks for"


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    found = _DEVICE.fullmatch(device)
    if not found:
        raise ProviderMissing(f"device {device!r} is unknown; use cpu, cuda or cuda:N")
    if device == "cpu":
        return [CPU]
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise ProviderMissing(f"device {device!r}: this onnxruntime has no {CUDA}; {_HINT}")
    # TF32 would round products to 10 bits: the check input allows 1e-4.
    return [(CUDA, {"device_id": str(_device_number(device)), "use_tf32": "0"}), CPU]


def _device_number(device: str) -> int:
    return int(device.partition(":")[2] or "0")


def _name(provider: str | tuple[str, dict[str, str]]) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _load(bundle: Bundle, providers: list[Any], threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = bundle.model()
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # noqa: BLE001 - its own classes are not public, and differ by version
        reason = _first_line(error)
        if _name(providers[0]) == CUDA:
            raise ProviderMissing(f"{bundle.reference} on CUDA: {reason}; {_HINT}") from None
        raise BadModel(f"{bundle.reference}: ONNX Runtime cannot load it: {reason}") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _require_agreement(bundle: Bundle, session: onnxruntime.InferenceSession) -> None:
    manifest = bundle.manifest
    n_energy = len(manifest.output.energy_ev)
    shapes = {INPUT: (manifest.descriptor.n_features,), "mean": (n_energy,), "std": (n_energy,)}
    ends = [*session.get_inputs(), *session.get_outputs()]
    if [end.name for end in ends] != [INPUT, *OUTPUTS]:
        raise BadModel(
            f"{bundle.reference}: the graph takes and gives {', '.join(e.name for e in ends)}, "
            f"not {', '.join([INPUT, *OUTPUTS])}"
        )
    for end in ends:
        want = shapes.get(end.name, ())
        if tuple(end.shape[1:]) != want or end.type != "tensor(float)":
            raise BadModel(
                f"{bundle.reference}: {end.name} of the graph has shape {end.shape} {end.type}, "
                f"but the manifest says (n, {', '.join(map(str, want))}) float32"
            )
