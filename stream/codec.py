"""Bytes on the wire: MessagePack envelopes, arrays as raw little-endian bytes; never pickle.

An envelope is ``["edgestream", version, kind, body]``. The version stands outside the body, so that
a newer message is recognised as such whatever its body has become.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xas.errors import BadMessage, NewerProtocol

MAGIC = "edgestream"
PROTOCOL_VERSION = 2
DTYPES = ("|u1", "|b1", "<i2", "<i4", "<i8", "<f4", "<f8")
ITEM_BYTES = {name: np.dtype(name).itemsize for name in DTYPES}

Message = TypeVar("Message", bound=msgspec.Struct)


class Array(msgspec.Struct, frozen=True, array_like=True):
    """An array as declared dtype, shape and C-ordered little-endian bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @classmethod
    def of(cls, values: NDArray[Any]) -> Array:
        """Wrap an array; copies only what is not contiguous or not little-endian."""
        dtype = values.dtype.newbyteorder("<")
        if dtype.str not in DTYPES:
            raise BadMessage(f"arrays of {values.dtype} do not travel; one of {', '.join(DTYPES)}")
        flat = np.ascontiguousarray(values, dtype=dtype)
        return cls(dtype.str, values.shape, flat.reshape(-1).view(np.uint8).data)

    def view(self, dtype: str, *shape: int) -> NDArray[Any]:
        """The array without a copy, read-only; see ``check``. Of truth values each is 0 or 1."""
        self.check(dtype, *shape)
        values = np.frombuffer(self.data, dtype=dtype).reshape(self.shape)
        if dtype == "|b1" and values.view(np.uint8).max(initial=0) > 1:
            raise BadMessage("a truth value that is neither 0 nor 1")
        return values

    def check(self, dtype: str, *shape: int) -> None:
        """BadMessage where dtype, shape and number of bytes do not agree.

        With each other, or with what the caller expects; -1 in ``shape`` admits any length.
        """
        if self.dtype != dtype or dtype not in ITEM_BYTES:
            raise BadMessage(f"an array of {self.dtype[:8]!r} stands where {dtype!r} belongs")
        fits = len(self.shape) == len(shape) and all(
            got >= 0 and want in (-1, got) for got, want in zip(self.shape, shape, strict=True)
        )
        if not fits:
            raise BadMessage(f"an array of shape {self.shape[:4]} stands where {shape} belongs")
        if math.prod(self.shape) * ITEM_BYTES[dtype] != len(self.data):
            raise BadMessage(f"an array declares shape {self.shape} but has {len(self.data)} bytes")


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    magic: str
    version: int
    kind: str
    body: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(_Envelope)


def encode(message: msgspec.Struct) -> bytes:
    """One message as bytes; its arrays are copied once."""
    return _encoder.encode((MAGIC, PROTOCOL_VERSION, type(message).__name__, message))


def pack(values: Sequence[bytes]) -> bytes:
    """Several messages as one value."""
    return _encoder.encode(list(values))


def unpack(value: bytes | None) -> list[bytes]:
    """Inverse of ``pack``; none where there is no value, BadMessage for what is none of ours."""
    try:
        return msgspec.msgpack.decode(value, type=list[bytes]) if value else []
    except msgspec.DecodeError as error:
        raise BadMessage(f"the bytes are not messages of edgestream: {error}") from None


def decode(payload: bytes | memoryview, kind: type[Message]) -> Message:
    """One message of the given kind; its arrays are views into ``payload``.

    Raises NewerProtocol for a later version, BadMessage for anything else that is not ours.
    """
    try:
        envelope = _envelopes.decode(payload)
        if envelope.magic != MAGIC:
            raise BadMessage("the bytes are not a message of edgestream")
        if envelope.version > PROTOCOL_VERSION:
            raise NewerProtocol(
                f"the message speaks protocol {envelope.version}, this process "
                f"{PROTOCOL_VERSION}: update edgestream here"
            )
        if envelope.kind != kind.__name__:
            raise BadMessage(f"a {envelope.kind[:32]!r} stands where a {kind.__name__} belongs")
        return msgspec.msgpack.decode(envelope.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"the bytes are not a message of edgestream: {error}") from None
