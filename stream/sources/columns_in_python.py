"""What _columns.c does, in Python: where it is not built, and to test it against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LABEL_BYTES = 8


def behind_lines(text: bytes, start: int, n_lines: int, /) -> int:
    """Where the line after the next `n_lines` begins; -1 where they are not all there."""
    for _ in range(n_lines):
        start = text.find(b"\n", start) + 1
        if start == 0:
            return -1
    return start


def read_rows(
    text: bytes,
    n_rows: int,
    columns: bytes,
    numbers: NDArray[np.float64],
    labels: NDArray[np.uint64],
    /,
) -> int:
    """Fill numbers and labels; return how many rows were good."""
    lines = text.split(b"\n", n_rows)[:n_rows]
    for row, line in enumerate(lines):
        try:
            _read_row(line, columns.decode(), numbers[row], labels[row])
        except ValueError:
            return row
    return len(lines)


def _read_row(
    line: bytes, columns: str, numbers: NDArray[np.float64], labels: NDArray[np.uint64]
) -> None:
    words = line.split()[: len(columns)]
    if len(words) < len(columns) or any(min(word) < 33 or max(word) > 126 for word in words):
        raise ValueError("too few columns, or letters that no word of ours holds")
    numbers[:] = [float(word) for word, kind in zip(words, columns, strict=True) if kind == "f"]
    symbols = [word for word, kind in zip(words, columns, strict=True) if kind == "s"]
    if any(len(symbol) > _LABEL_BYTES for symbol in symbols):
        raise ValueError("a label too long")
    labels[:] = [int.from_bytes(symbol, "little") for symbol in symbols]
