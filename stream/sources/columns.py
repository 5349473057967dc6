"""Rows of text to numbers and labels: in C where it is built, else the same in Python."""

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
    IS_COMPILED = False

    def behind_lines(text: bytes, start: int, n_lines: int, /) -> int:
        """Where the line after the next `n_lines` begins; -1 where they are not all there."""
        for _ in range(n_lines):
            start = text.find(b"\n", start) + 1
            if start == 0:
                return -1
        return start

    def read_rows(
        text: bytes, n_rows: int, columns: bytes, numbers: Floats, labels: Labels, /
    ) -> int:
        """Fill numbers and labels; return how many rows were good."""
        for row, line in enumerate(text.split(b"\n", n_rows)[:n_rows]):
            try:
                _read_row(line, columns, numbers[row], labels[row])
            except ValueError:
                return row
        return n_rows

    def _read_row(line: bytes, columns: bytes, numbers: Floats, labels: Labels) -> None:
        words = line.decode("ascii").split()
        kinds = columns.decode()
        if len(words) < len(kinds):
            raise ValueError("too few columns")
        numbers[:] = [float(word) for word, kind in zip(words, kinds, strict=False) if kind == "f"]
        symbols = [word for word, kind in zip(words, kinds, strict=False) if kind == "s"]
        if any(len(symbol) > LABEL_BYTES or not symbol.isprintable() for symbol in symbols):
            raise ValueError("a label too long, or none")
        labels[:] = [int.from_bytes(symbol.encode(), "little") for symbol in symbols]


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
