"""Rows that have checksums together: a stretch is up to 256 frames of one commit.

The checksums, xxh3-64 of the bytes of each column as they are written, are columns themselves: what
is merged or finished takes them along as they are, so that they also see what went wrong on the
way. docs/adr/0020-checksums-that-travel-with-their-rows.md says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.result_file.layout import CHECKED, STRETCH_ROWS, STRETCH_SUMS, Axis, Column

MOST_FRAMES = 256
AXES: tuple[Axis, ...] = ("frame", "site", "atom", "dead")  # the columns of STRETCH_ROWS

Bounds = NDArray[np.int64]  # (n + 1, 4): where stretches begin and end, in rows of AXES


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Some frames of a file: where their rows begin and end, by axis, and their checksums."""

    rows: Mapping[Axis, tuple[int, int]]
    sums: NDArray[np.uint64] | None  # (len(CHECKED),); None where nobody knows

    def bounds(self, column: Column) -> tuple[int, int]:
        """The rows of a column; of bounds also the one that ends the last frame."""
        if column.axis == "bound":
            low, high = self.rows["frame"]
            return low, high + 1
        return self.rows[column.axis]

    def holds(self, column: Column, values: NDArray[Any]) -> bool:
        """Whether these, the rows of a column, are what was written; True where nobody knows."""
        if column.axis == "bound":  # the last one is the first of whatever follows
            values = values[:-1]
        if self.sums is None or not values.size:
            return True
        return xxh3_64_intdigest(_bytes(values)) == int(self.sums[CHECKED.index(column.path)])


def count_stretches(n_frames: int) -> int:
    """How many a commit of so many frames has."""
    return -(-n_frames // MOST_FRAMES)


def stretch_arrays(
    columns: Sequence[Column], contents: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The contents of the columns of checksums, for those of all other stored columns."""
    bounds = divide(contents)
    sums = np.zeros((len(bounds) - 1, len(CHECKED)), dtype="<u8")
    for column in (c for c in columns if c.path in contents):
        data, size = _bytes(contents[column.path]), _row_size(contents[column.path])
        edges = (bounds[:, _axis_of(column)] * size).tolist()
        sums[:, CHECKED.index(column.path)] = [
            xxh3_64_intdigest(data[low:high]) for low, high in pairwise(edges)
        ]
    _fill_twins(sums, contents)
    return {STRETCH_ROWS: np.diff(bounds, axis=0), STRETCH_SUMS: sums}


def divide(contents: Mapping[str, NDArray[Any]]) -> Bounds:
    """Cut rows into stretches."""
    index = contents["entry/frame_index"]
    n = len(index)
    at = np.append(np.arange(0, n, MOST_FRAMES), n)
    frames = at + (index[0] if n else 0)
    offsets = contents.get("entry/structures/offsets")
    atoms = np.zeros_like(at) if offsets is None else offsets[at] - offsets[0]
    sites = np.searchsorted(contents.get("entry/sites/frame_index", index[:0]), frames)
    dead = np.searchsorted(contents.get("entry/dead_letters/frame_index", index[:0]), frames)
    return np.stack([at, sites, atoms, dead], axis=1).astype(np.int64)


def stretches(bounds: Bounds, sums: NDArray[np.uint64] | None) -> Iterator[Stretch]:
    """One after the other."""
    for i, (low, high) in enumerate(pairwise(bounds.tolist())):
        rows = {axis: (low[k], high[k]) for k, axis in enumerate(AXES)}
        yield Stretch(rows, None if sums is None else sums[i])


def _fill_twins(sums: NDArray[np.uint64], contents: Mapping[str, NDArray[Any]]) -> None:
    """Spectra of sites that are stored with those of the frames."""
    for name in ("intensity", "intensity_errors"):
        if f"entry/sites/{name}" not in contents:
            twin = CHECKED.index(f"entry/{name}")
            sums[:, CHECKED.index(f"entry/sites/{name}")] = sums[:, twin]


def _axis_of(column: Column) -> int:
    return AXES.index("frame" if column.axis == "bound" else column.axis)


def _row_size(values: NDArray[Any]) -> int:
    return values.strides[0]


def _bytes(values: NDArray[Any]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data
