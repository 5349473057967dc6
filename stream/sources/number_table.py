"""Tables of numbers as programs write them: comments, a line of names, then columns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadLabels

MAX_BYTES = 64 * 2**20


def read_text(path: Path) -> str:
    """The text of a file; BadLabels where it cannot be read, or is no such text."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadLabels(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise BadLabels(f"{path}: is larger than {MAX_BYTES} bytes")
    return content.decode("utf-8", errors="replace")


def number(word: str) -> float:
    """A number as Fortran writes it, 1.5D-3 too; ValueError."""
    return float(re.sub(r"[dD]", "e", word))


def numbers_in(text: str, path: Path, *, n_columns: int) -> NDArray[np.float64]:
    """The rows of at least ``n_columns`` numbers, (n, n_columns); all else stands above them.

    BadLabels where there are none, or where another line stands between or below: a file that was
    cut off, or that a program has not finished.
    """
    rows: list[list[float]] = []
    for n, line in enumerate(text.splitlines(), start=1):
        row = _row(line, n_columns)
        if row is not None:
            rows.append(row)
        elif rows and line.strip() and not line.lstrip().startswith("#"):
            raise BadLabels(f"{path}: line {n} is no row of {n_columns} numbers: '{line[:40]}'")
    if not rows:
        raise BadLabels(f"{path}: has no rows of {n_columns} numbers")
    return np.array(rows)


def _row(line: str, n_columns: int) -> list[float] | None:
    words = line.split()
    if len(words) < n_columns or line.lstrip().startswith("#"):
        return None
    try:
        return [number(word) for word in words[:n_columns]]
    except ValueError:
        return None
