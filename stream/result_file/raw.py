"""The rows of contiguous datasets, written, read and copied past the HDF5 library.

The library gives every dataset its place in the file when it makes it; rows then go there straight
from the arrays that hold them, and from file to file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.result_file.draft import Draft
from stream.result_file.header import RunHeader
from stream.result_file.layout import Column, columns
from stream.result_file.segment import Segment
from stream.result_file.stretches import stretch_arrays

READ_BYTES = 1 << 18  # at a time: fits into the caches


def fill(
    draft: Draft, whole: Segment, contents: Mapping[str, NDArray[Any]], header: RunHeader
) -> None:
    """Arrays, by path, and their checksums belong to the places of their columns."""
    stored = _stored(whole, header)
    found = {
        c.path: np.ascontiguousarray(contents[c.path], dtype=c.dtype)
        for c in stored
        if c.axis != "stretch"
    }
    found |= stretch_arrays(stored, found)
    for column in stored:
        values = found[column.path]
        draft.place(whole.places[column.path], values.reshape(-1).view(np.uint8).data)


def copy(draft: Draft, whole: Segment, parts: Sequence[Segment], header: RunHeader) -> None:
    """The rows of segments that follow each other belong, end to end, to their places."""
    for column in _stored(whole, header):
        at, row = whole.places[column.path], column.row_bytes(header.n_energy)
        for number, part in enumerate(parts, start=1):
            size = row * used_rows(column, part, number == len(parts))
            if size:
                draft.place_range(at, part.path, part.places[column.path], size)
            at += size


def _stored(segment: Segment, header: RunHeader) -> list[Column]:
    """The columns that have rows of their own in a file."""
    found = [c for c in columns(header.keep_structures) if c.path in segment.places]
    return [c for c in found if not (c.twin and segment.one_site_each)]


def used_rows(column: Column, segment: Segment, is_last: bool) -> int:
    """Rows that a segment gives to the whole: its last bound is the first of the next."""
    return segment.rows(column) - (column.axis == "bound" and not is_last)


def read_spectra(
    segments: Sequence[Segment], header: RunHeader, names: Sequence[str]
) -> Iterator[list[NDArray[Any]]]:
    """Some columns of frames, a few hundred kilobytes at a time."""
    wanted = {column.path: column for column in columns(header.keep_structures)}
    chosen = [wanted["entry/" + name] for name in names]
    step = max(1, READ_BYTES // (8 * max(1, header.n_energy)))
    for segment in segments:
        with _opened(segment.path) as source:
            n = segment.end - segment.first
            for low in range(0, n, step):
                high = min(n, low + step)
                yield [read_rows(source, segment, column, header, low, high) for column in chosen]


def read_rows(
    source: int, segment: Segment, column: Column, header: RunHeader, low: int, high: int
) -> NDArray[Any]:
    """Rows low to high of a column; OSError where the file ends before them."""
    values = np.empty(column.shape(high - low, header.n_energy), column.dtype)
    if values.size:
        at = segment.places[column.path] + low * column.row_bytes(header.n_energy)
        _read_into(source, at, values.reshape(-1).view(np.uint8).data)
    return values


def _read_into(source: int, start: int, part: memoryview) -> None:
    while len(part):
        n = os.preadv(source, [part], start)
        if n == 0:
            raise OSError(errno.EIO, "a segment ends early")
        start, part = start + n, part[n:]


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
