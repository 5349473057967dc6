"""Arrays of npz files that strangers made."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Collection
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# numpy reads the head of an array as Python, of which anything may be left
_DAMAGED = (
    *(EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error, KeyError),
    *(SyntaxError, TokenError, TypeError, AttributeError, OverflowError, RecursionError),
    MemoryError,  # a shape may be any
)


def plain_arrays(file: BinaryIO, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays by their names, those of ``names`` that are there, or all.

    ValueError for bytes that are no npz file, or objects; OSError of the disk.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            return {key: data[key] for key in data.files if names is None or key in names}
    except _DAMAGED as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
