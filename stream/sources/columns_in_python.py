"""What _columns.c does, by numpy and Python: where it is not built, and to test it against."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

_LABEL_BYTES = 8
_TYPES = {"f": "f8", "s": f"S{_LABEL_BYTES + 1}"}
_PLAIN = bytes(range(33, 127)) + b" \t\n"

Floats = NDArray[np.float64]
Labels = NDArray[np.uint64]


def behind_lines(text: bytes, start: int, n_lines: int, /) -> int:
    """Where the line after the next `n_lines` begins; -1 where they are not all there."""
    for _ in range(n_lines):
        start = text.find(b"\n", start) + 1
        if start == 0:
            return -1
    return start


def read_rows(text: bytes, n_rows: int, columns: bytes, numbers: Floats, labels: Labels, /) -> int:
    """Fill numbers and labels; return how many rows were good."""
    plan = columns.decode()
    whole = text.replace(b"\r\n", b"\n")
    is_plain = whole.endswith(b"\n") and not whole.translate(None, _PLAIN)
    if is_plain and whole.count(b"\n") == n_rows and _read_table(whole, plan, numbers, labels):
        return n_rows
    lines = text.split(b"\n", n_rows)[:n_rows]
    for row, line in enumerate(lines):
        try:
            _read_row(line, plan, numbers[row], labels[row])
        except ValueError:
            return row
    return len(lines)


def _read_table(text: bytes, plan: str, numbers: Floats, labels: Labels) -> bool:
    """Let numpy read all rows; False where it finds anything unlike the plan."""
    used = [at for at, kind in enumerate(plan) if kind in _TYPES]
    if not used or plan.endswith("-") or not text.strip():  # it would not miss a last column
        return False
    kinds = [(str(at), _TYPES[plan[at]]) for at in used]
    try:
        table = np.loadtxt(io.BytesIO(text), kinds, comments=None, usecols=used, ndmin=1)
    except ValueError:
        return False
    words = [np.array(table[str(at)]).view("u1").reshape(-1, 9) for at in used if plan[at] == "s"]
    if len(table) != len(numbers) or any(word[:, _LABEL_BYTES].any() for word in words):
        return False
    for column, at in enumerate(at for at in used if plan[at] == "f"):
        numbers[:, column] = table[str(at)]
    for column, word in enumerate(words):
        labels[:, column] = np.ascontiguousarray(word[:, :_LABEL_BYTES]).view("<u8")[:, 0]
    return True


def _read_row(line: bytes, plan: str, numbers: Floats, labels: Labels) -> None:
    words = line.split()[: len(plan)]
    if len(words) < len(plan) or any(min(word) < 33 or max(word) > 126 for word in words):
        raise ValueError("too few columns, or letters that no word of ours holds")
    numbers[:] = [float(word) for word, kind in zip(words, plan, strict=True) if kind == "f"]
    symbols = [word for word, kind in zip(words, plan, strict=True) if kind == "s"]
    if any(len(symbol) > _LABEL_BYTES for symbol in symbols):
        raise ValueError("a label too long")
    labels[:] = [int.from_bytes(symbol, "little") for symbol in symbols]
