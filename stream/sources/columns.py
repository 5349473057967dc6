"""Rows of text to numbers and labels: in C where it is built, else in Python."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.uint64]
LABEL_BYTES = 8

try:
    from stream.sources._columns import behind_lines as behind_lines
    from stream.sources._columns import read_rows as read_rows

    IS_COMPILED = True
except ImportError:  # not built: slower by about ten
    from stream.sources.columns_in_python import behind_lines as behind_lines
    from stream.sources.columns_in_python import read_rows as read_rows

    IS_COMPILED = False


def read_table(text: bytes, n_rows: int, columns: bytes) -> tuple[Floats, Labels]:
    """Read the first columns of every row; ValueError where a row has fewer, or not a number.

    columns  a letter each: f a number, s a label of up to 8 ASCII characters, - anything
    Returns numbers (n_rows, n_f) float64, rounded as float() does, and labels (n_rows, n_s) uint64.
    """
    numbers = np.empty((n_rows, columns.count(b"f")))
    labels = np.empty((n_rows, columns.count(b"s")), dtype=np.uint64)
    if read_rows(text, n_rows, columns, numbers, labels) < n_rows:
        raise ValueError("a row that is not as declared")
    return numbers, labels


class LabelReader:
    """Atomic numbers of labels; looked up again only where they differ from those before."""

    def __init__(self, look_up: Callable[[str], int]) -> None:
        self._look_up = look_up
        self._labels = np.zeros(0, dtype=np.uint64)
        self._numbers = np.zeros(0, dtype=np.uint8)

    def __call__(self, labels: Labels) -> NDArray[np.uint8]:
        """(n,) uint64 -> (n,) uint8; UnknownSymbol."""
        if not np.array_equal(labels, self._labels):
            kinds, where = np.unique(labels, return_inverse=True)
            numbers = [self._look_up(_text(int(kind))) for kind in kinds]
            self._numbers = np.array(numbers, dtype=np.uint8)[where]
            self._labels = labels.copy()
        return self._numbers


def _text(label: int) -> str:
    return label.to_bytes(LABEL_BYTES, "little").rstrip(b"\0").decode("ascii")
