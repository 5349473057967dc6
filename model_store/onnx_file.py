"""Whether an ONNX file stands alone, read from its bytes without the onnx package.

A tensor may say that its values lie in another file, anywhere on this machine; hashes of the bundle
do not cover that file, so such a model is refused before anything loads it.
"""

from __future__ import annotations

from collections.abc import Iterator

from xas.errors import BadModel

# Where tensors can hide: message -> {field number: message}. Field numbers: onnx.proto3 of ONNX.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_MAX_DEPTH = 32


def require_standalone(data: bytes, where: str) -> None:
    """Raise BadModel, naming ``where``, for a broken ONNX file or one with external data."""
    try:
        refers = _refers_outside(memoryview(data), "model", 0)
    except (IndexError, ValueError) as error:
        raise BadModel(f"{where}: not an ONNX file ({error})") from None
    if refers:
        raise BadModel(
            f"{where}: the model keeps tensors in other files; save it again with all tensors "
            "inside (external data is refused)"
        )


def _refers_outside(data: memoryview, message: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    for field, value in _fields(data):
        if message == "tensor":
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0):
                return True
            continue
        inner = _INSIDE[message].get(field)
        if inner and isinstance(value, memoryview) and _refers_outside(value, inner, depth + 1):
            return True
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message: number and value (bytes where it has a length)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield field, value
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data):
            raise ValueError("a field runs past the end, or is of an unknown kind")
        yield field, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
