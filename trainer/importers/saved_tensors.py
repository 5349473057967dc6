"""Tensors out of a file that PyTorch pickled as a whole object, without running what it says.

A pickle may call anything. This reader knows five names: the tensor, its storage, an ordered
dictionary, a set, and one class of which an empty stand-in is made. Any other name is refused
before it is looked up. Tensors become arrays of exactly the bytes that the file holds.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadModel

MAX_BYTES = 256 * 2**20
MAX_PICKLE_BYTES = 2**20  # of the object without its tensors
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8"}


def read_object(path: Path, stand_in: tuple[str, str]) -> dict[str, Any]:
    """The attributes of the object in a file of ``torch.save``; tensors as read-only arrays.

    stand_in  module and name of the one class that it may be of

    Raises BadModel for anything else: another name in the pickle, a tensor beyond its storage, a
    compressed or oversized archive, a file that is none. Its time is not bounded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _Reader(_Archive(archive), stand_in).load()
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror or error})") from None
    except pickle.UnpicklingError as error:
        raise BadModel(f"{path}: refused: {error}") from None
    except Exception as error:  # noqa: BLE001 - a hostile pickle ends in any error there is
        raise BadModel(f"{path}: not a file of torch.save ({type(error).__name__})") from None
    if type(found).__name__ != stand_in[1]:
        raise BadModel(f"{path}: holds no {stand_in[1]}")
    return dict(vars(found))


class _Archive:
    """The parts of a zip archive of torch.save, none compressed, all within the limit."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise pickle.UnpicklingError(f"more than {MAX_BYTES >> 20} MiB")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise pickle.UnpicklingError("parts of it are compressed, which torch.save does not do")
        pickles = [entry.filename for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("it has no data.pkl")
        self._archive = archive
        self._root = pickles[0].removesuffix("data.pkl")
        order = self._root + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise pickle.UnpicklingError("its numbers are not little-endian")

    def pickle(self) -> bytes:
        data = self._archive.read(self._root + "data.pkl")
        if len(data) > MAX_PICKLE_BYTES:
            raise pickle.UnpicklingError("its data.pkl is too large for one object")
        return data

    def storage(self, key: str) -> bytes:
        return self._archive.read(f"{self._root}data/{key}")


class _Reader(pickle.Unpickler):
    """An unpickler that finds five names; what they stand for is made anew for each file."""

    def __init__(self, archive: _Archive, stand_in: tuple[str, str]) -> None:
        super().__init__(io.BytesIO(archive.pickle()))
        self._archive = archive
        self._storages: dict[str, NDArray[Any]] = {}
        self._known: dict[tuple[str, str], Any] = {
            stand_in: type(stand_in[1], (), {}),
            ("torch._utils", "_rebuild_tensor_v2"): _tensor_builder(),
            ("collections", "OrderedDict"): OrderedDict,
            ("__builtin__", "set"): set,
            ("builtins", "set"): set,
        } | {("torch", name): dtype for name, dtype in _STORAGES.items()}

    def find_class(self, module: str, name: str) -> Any:
        """One of the five; every other name is refused unread."""
        try:
            return self._known[module, name]
        except KeyError:
            asked = f"{module}.{name}"[:100]
            raise pickle.UnpicklingError(f"its pickle asks for {asked!r}, not a tensor") from None

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """The numbers of a storage: ("storage", type, key, location, count)."""
        tag, dtype, key, _, count = pid
        if tag != "storage" or dtype not in _STORAGES.values() or not str(key).isdigit():
            raise pickle.UnpicklingError("its pickle refers to something that is no storage")
        if key not in self._storages:
            self._storages[key] = np.frombuffer(self._archive.storage(key), dtype=dtype)
        if len(self._storages[key]) != count:
            raise pickle.UnpicklingError("a storage has another length than its pickle says")
        return self._storages[key]


def _tensor_builder() -> Callable[..., NDArray[Any]]:
    def build(storage: Any, first: Any, shape: Any, strides: Any, *_: Any) -> NDArray[Any]:
        """A contiguous part of a storage."""
        if not isinstance(storage, np.ndarray) or type(first) is not int or first < 0:
            raise pickle.UnpicklingError("a tensor without a storage")
        if type(shape) is not tuple or any(type(n) is not int or n < 1 for n in shape):
            raise pickle.UnpicklingError("a tensor of an impossible shape")
        if strides != tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))):
            raise pickle.UnpicklingError("a tensor that is not contiguous")
        size = math.prod(shape)
        if first + size > len(storage):
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        return storage[first : first + size].reshape(shape)

    return build
