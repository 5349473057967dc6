"""Contiguous and virtual datasets, names and attributes, through h5py's low-level calls.

A commit makes some twenty datasets; the high-level calls would take most of its time.
All datasets are contiguous: their sizes are known when a file is written, and their places in it as
soon as they are made, so that raw.py fills and copies them without the library. In the files that
stay they are placed when all else is there: what the library itself needs then lies before the
rows, and a file that something cuts later still says what it holds (salvage.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

LIBVER = ("v108", "v110")  # what HDF5 1.10, of 2016, can read

LINKS = h5py.h5p.create(h5py.h5p.LINK_CREATE)
LINKS.set_create_intermediate_group(True)

_UNTIMED = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
_UNTIMED.set_obj_track_times(False)
_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)
_TEXT = h5py.string_dtype()

_PLACED = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
_PLACED.set_layout(h5py.h5d.CONTIGUOUS)
_PLACED.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
_PLACED.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
_PLACED.set_obj_track_times(False)
_UNPLACED = _PLACED.copy()
_UNPLACED.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """A file opened for reading by its writer.

    Through a Python file object: the library refuses to open a file twice in one process with
    different locking, and other code of this process may read the run with plain h5py.
    """
    with path.open("rb", buffering=0) as raw, h5py.File(raw, "r") as file:
        yield file


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows start:stop of a dataset in another file, beginning at row ``at`` of the virtual one."""

    file: str
    rows: int  # of the whole dataset in that file
    stop: int
    at: int


def create(
    file: h5py.File, path: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, later: bool = False
) -> Any:
    """A contiguous dataset without a fill value; ``later``: it waits for ``place``.

    Its low-level identifier.
    """
    space, how = h5py.h5s.create_simple(shape), _UNPLACED if later else _PLACED
    return h5py.h5d.create(file.id, path.encode(), _kind(dtype), space, dcpl=how, lcpl=LINKS)


def place(dataset: Any) -> int | None:
    """Where a dataset begins in the file, which is now at the latest; None without rows."""
    at: int | None = dataset.get_offset()
    if at is None and 0 not in dataset.shape:
        space = dataset.get_space()
        ones = (1,) * len(dataset.shape)
        space.select_hyperslab((0,) * len(ones), ones)
        dataset.write(_SCALAR, space, np.zeros((), dtype=dataset.dtype))
        at = dataset.get_offset()
    return at


def put(file: h5py.File, path: str, data: NDArray[Any]) -> None:
    """A contiguous dataset with data in it."""
    dataset = create(file, path, data.shape, data.dtype)
    if data.size:
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(data))


def put_value(file: h5py.File, path: str, value: Any) -> None:
    """A dataset of a text, a list of texts, a truth, a number or an array."""
    data, kind = _stored(value)
    space = h5py.h5s.create_simple(data.shape) if data.shape else _SCALAR
    name = path.encode()
    dataset = h5py.h5d.create(file.id, name, kind, space, dcpl=_UNTIMED, lcpl=LINKS)
    if data.size:
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def note(file: h5py.File, path: str, attributes: Mapping[str, Any]) -> None:
    """Attributes of a dataset or group; those that it has, under another name, stay."""
    owner = h5py.h5o.open(file.id, path.encode())
    for name, value in attributes.items():
        data, kind = _stored(value)
        space = h5py.h5s.create_simple(data.shape) if data.shape else _SCALAR
        if not h5py.h5a.exists(owner, name.encode()):
            h5py.h5a.create(owner, name.encode(), kind, space).write(data)


def _stored(value: Any) -> tuple[NDArray[Any], Any]:
    """As array, with the type in the file."""
    data = np.asarray(value, dtype=_TEXT if isinstance(value, (str, list)) else None)
    return data, _kind(data.dtype)


def has(file: h5py.File, path: str) -> bool:
    """Whether there is a dataset or group of that name."""
    names = path.encode().split(b"/")
    return all(file.id.links.exists(b"/".join(names[: n + 1])) for n in range(len(names)))


def link(file: h5py.File, path: str, existing: str) -> None:
    """A second name for what is there."""
    file.id.links.create_hard(path.encode(), file.id, existing.encode(), LINKS)


@lru_cache
def _kind(dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)


def create_virtual(
    file: h5py.File,
    path: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    pieces: Sequence[Piece],
) -> None:
    """A virtual dataset over rows of other files; NaN or 0 where one of them is missing."""
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_fill_value(np.array(np.nan if dtype.kind == "f" else 0).astype(dtype))
    tail = shape[1:]
    origin = (0,) * len(tail)
    space = h5py.h5s.create_simple(shape)
    for piece in pieces:
        source = h5py.h5s.create_simple((piece.rows, *tail))
        source.select_hyperslab((0, *origin), (piece.stop, *tail))
        space.select_hyperslab((piece.at, *origin), (piece.stop, *tail))
        # In the names of source files a percent sign begins a pattern.
        name = piece.file.replace("%", "%%").encode()
        how.set_virtual(space, name, path.encode(), source)
    space.select_all()
    h5py.h5d.create(file.id, path.encode(), _kind(dtype), space, dcpl=how, lcpl=LINKS)


def text(value: str, size: int) -> bytes:
    """UTF-8 of at most size bytes, cut between characters."""
    return value.encode()[:size].decode(errors="ignore").encode()
