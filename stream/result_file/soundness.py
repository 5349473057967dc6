"""Whether a file that somebody gave us holds what it says, found before any of it is read.

A column lies in the file itself, in one piece and as large as it says, or is made of the segments
beside it. Anything else that HDF5 can do (rows in other files, by link or name; packed rows, which
take little on disk and much in memory) none of our files does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from stream.result_file.header import RunHeader
from stream.result_file.layout import ENERGY, STATE, Column, columns, is_written
from stream.result_file.segment import Segment

_SCALARS = ("n",)
_AVERAGE = ("energy", "intensity", "intensity_errors", "spread", "standard_error", "model_error")
AVERAGE = tuple(f"entry/average/{name}" for name in (*_AVERAGE, *_SCALARS))


def require_own_state(file: Any, size: int) -> None:
    """ValueError where the state, which says what else there is, is not in the file itself."""
    _require_own(file, size, (STATE,))


def require_own_values(file: Any, size: int) -> None:
    """ValueError where energies or average are not in the file itself, whole."""
    _require_own(file, size, (ENERGY, *AVERAGE))


def _require_own(file: Any, size: int, names: tuple[str, ...]) -> None:
    for name in names:
        dataset = _own(file, name)
        if dataset.get_create_plist().get_layout() != h5py.h5d.COMPACT:
            _require_room(dataset, name, size)


def require_own_columns(file: Any, segment: Segment, header: RunHeader, folder: Path) -> None:
    """ValueError where a column is not in the file, nor in the segments that lie in ``folder``."""
    for column in columns(header.keep_structures):
        rows = segment.rows(column)
        if is_written(column, rows):
            dataset = _own(file, column.path)
            if dataset.dtype != column.dtype and dataset.dtype != column.dtype.newbyteorder("="):
                raise ValueError(f"{column.path} holds {dataset.dtype}")
            if dataset.get_create_plist().get_layout() == h5py.h5d.VIRTUAL:
                _require_segments(dataset, column, rows * column.row_bytes(header.n_energy), folder)
            else:
                _require_room(dataset, column.path, segment.size)


def _own(file: Any, name: str) -> Any:
    """A dataset of this very file, not one that a link leads to in another."""
    dataset = h5py.h5d.open(file.id, name.encode())
    if h5py.h5i.get_file_id(dataset).name != file.id.name:
        raise ValueError(f"{name} lies in another file")
    return dataset


def _require_room(dataset: Any, name: str, size: int) -> None:
    """In one piece, and within the file; so nobody can ask for more memory than they sent."""
    how = dataset.get_create_plist()
    if how.get_layout() != h5py.h5d.CONTIGUOUS or how.get_external_count():
        raise ValueError(f"{name} is not in one piece in this file")
    place, n_bytes = dataset.get_offset(), dataset.get_type().get_size()
    for length in dataset.shape:
        n_bytes *= length
    if (
        place or 0
    ) + n_bytes > size:  # no place: nothing but what fills it, and no more than a file
        raise ValueError(f"{name} is larger than its file")


def _require_segments(dataset: Any, column: Column, n_bytes: int, folder: Path) -> None:
    """Rows of segments beside the file, which together are as large as the column says."""
    size = 0
    for name in set(named_sources(dataset)):
        place = PurePosixPath(name)
        if len(place.parts) != 2 or not place.parts[0].endswith(".segments"):
            raise ValueError(f"{column.path} is to be read from {name!r}")
        if (folder / place).is_file():  # one that is missing has been replaced, or was not copied
            size += (folder / place).stat().st_size
        else:
            size += n_bytes
    if n_bytes > size:
        raise ValueError(f"{column.path} is larger than its segments")


def named_sources(dataset: Any) -> Iterator[str]:
    """The files that a dataset is made of, where it is virtual."""
    how = dataset.get_create_plist()
    if how.get_layout() != h5py.h5d.VIRTUAL:
        return
    for i in range(how.get_virtual_count()):
        yield how.get_virtual_filename(i).replace("%%", "%")
