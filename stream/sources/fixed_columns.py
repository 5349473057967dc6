"""Rows with fixed columns, as PDB and GRO write them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream.sources.chemfiles_frames import elements_of_text
from stream.sources.columns import Floats, read_table
from stream.sources.lines import Malformed

Bytes = NDArray[np.uint8]
_SPACE, _LINE_END = 32, 10


def rectangle(text: bytes, n_rows: int) -> Bytes:
    """See text as (n_rows, width) bytes; ValueError where its lines differ in length."""
    width = text.find(b"\n") + 1
    if len(text) != n_rows * width:
        raise ValueError("lines of different lengths")
    rows = np.frombuffer(text, dtype=np.uint8).reshape(n_rows, width)
    if n_rows and (rows[:, -1] != _LINE_END).any():
        raise ValueError("lines of different lengths")
    return rows


def numbers_in(rows: Bytes, first: int, width: int, count: int) -> Floats:
    """Read `count` neighbouring columns of numbers, (n_rows, count); ValueError for other things.

    A number may fill its column, so columns are parted before they are read.
    """
    if first + count * width > rows.shape[1]:
        raise ValueError("lines too short")
    fields = rows[:, first : first + count * width].reshape(-1, width)
    is_space = fields == _SPACE
    if (is_space[:, 1:] & ~is_space[:, :-1]).any() or (fields < _SPACE).any():
        raise ValueError("a number that does not end its column")
    parted = np.empty((len(fields), width + 1), dtype=np.uint8)
    parted[:, :-1] = fields
    parted[:, -1] = _LINE_END
    return read_table(parted.tobytes(), len(fields), b"f")[0].reshape(-1, count)


def numbers_line_by_line(text: bytes, n_rows: int, first: int, width: int) -> Floats:
    """Read the three positions of every row; Malformed counts the first bad line from 0."""
    values = np.empty((n_rows, 3))
    for number, line in enumerate(text.split(b"\n")[:n_rows]):
        for axis in range(3):
            start = first + axis * width
            token = line[start : start + width].decode("latin-1").strip()
            try:
                values[number, axis] = float(token)
            except ValueError:
                raise Malformed(
                    f"'{token}' in columns {start + 1}-{start + width} is not a number", number
                ) from None
    return values


class FrameElements:
    """Atomic numbers of frames; chemfiles is asked only where the columns that name atoms change.

    kind  how chemfiles calls the format
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._names = b""
        self._numbers = np.zeros(0, dtype=np.uint8)

    def of(self, names: bytes, text: Callable[[], bytes]) -> NDArray[np.uint8]:
        """Return (n,) uint8; `names` is what must be the same, `text` gives the whole frame."""
        if names != self._names or not names:
            self._numbers = elements_of_text(text(), self._kind)
            self._names = names
        return self._numbers
