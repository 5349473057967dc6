"""Changes of bytes and of trees, all drawn from one generator, so that a seed repeats them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from target import MAX_INPUT, Target

NUMBERS = (0, 1, -1, 2, 255, 2**15, 2**31 - 1, -(2**31), 2**31, 2**32, 10**9, 2**53, 2**63 - 1)
FLOATS = (0.0, -0.0, 1e-300, 1e300, -1e300, 1e38, math.nan, math.inf, -math.inf, 1e-6)
TEXTS = ("", "..", "../../../tmp/x", "/etc/passwd", "a" * 70, "\0", "nan", "é\n", "{es:0}:writer")
PACKED = ("<f4", "<f8", "<i4", "<i8")


def inputs(target: Target, rng: Random) -> Callable[[], bytes]:
    """What draws the next input: a changed seed, or a mad one."""

    def draw() -> bytes:
        data = rng.choice(target.seeds)
        if rng.random() < 0.4:
            data = target.insane(data, rng)
        if rng.random() < 0.7:
            data = changed(data, rng, target)
        return data[:MAX_INPUT]

    return draw


def changed(data: bytes, rng: Random, target: Target) -> bytes:
    """Up to six changes: bits, bytes, words, numbers, cuts, doubles, parts of another seed."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        rng.choice(CHANGES)(found, rng, target)
    return bytes(found)


def _place(data: bytearray, rng: Random) -> int:
    # most headers stand in front
    return rng.randrange(min(len(data), 512) if rng.random() < 0.5 else len(data)) if data else 0


def _flip(data: bytearray, rng: Random, target: Target) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: Random, target: Target) -> None:
    if data:
        data[_place(data, rng)] = rng.choice((0, 255, 127, 128, rng.randrange(256)))


def _splice(data: bytearray, rng: Random, target: Target) -> None:
    at = _place(data, rng)
    word = rng.choice(target.words) if target.words else rng.randbytes(4)
    data[at : at + rng.choice((0, len(word)))] = word


def _number(data: bytearray, rng: Random, target: Target) -> None:
    at, kind = _place(data, rng), rng.choice("<>") + rng.choice("iqfdH")
    value = rng.choice(FLOATS if kind[1] in "fd" else NUMBERS)
    try:
        packed = struct.pack(kind, value)
    except (struct.error, OverflowError):
        packed = b"\xff" * 4
    data[at : at + len(packed)] = packed


def _cut(data: bytearray, rng: Random, target: Target) -> None:
    at = _place(data, rng)
    del data[at : at + (rng.randint(1, 16) if rng.random() < 0.8 else len(data))]


def _double(data: bytearray, rng: Random, target: Target) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + rng.randint(1, 64)] * rng.choice((1, 1, 2, 50))


def _cross(data: bytearray, rng: Random, target: Target) -> None:
    other, at = rng.choice(target.seeds), _place(data, rng)
    start = rng.randrange(len(other))
    data[at:] = other[start:]


CHANGES = (_flip, _set, _set, _splice, _splice, _number, _cut, _double, _cross)


def twisted(tree: Any, rng: Random) -> Any:
    """A tree of lists and dicts with some of its nodes replaced by mad ones."""
    for _ in range(rng.randint(1, 3)):
        tree = _twist(tree, rng, rng.choice((1, 2, 3, 4, 5)))
    return tree


def _twist(tree: Any, rng: Random, depth: int) -> Any:
    if depth and isinstance(tree, dict) and tree:
        key = rng.choice(list(tree))
        if rng.random() < 0.05:
            return {k: v for k, v in tree.items() if k != key}
        return tree | {key: _twist(tree[key], rng, depth - 1)}
    if depth and isinstance(tree, (list, tuple)) and tree:
        at = rng.randrange(len(tree))
        return [*tree[:at], _twist(tree[at], rng, depth - 1), *tree[at + 1 :]]
    return mad(tree, rng)


def mad(value: Any, rng: Random) -> Any:
    """In the place of a value: most often one of its kind, and impossible."""
    if rng.random() < 0.1:
        return rng.choice((None, True, [], {}, b"", "", 0, -1, [[[[]]]], [1, 2], {"a": {}}))
    if isinstance(value, bytes) and value:
        return mad_bytes(value, rng)
    if isinstance(value, str):
        return rng.choice((*TEXTS, value * 2, value[:-1], value.upper()))
    if isinstance(value, int):
        return rng.choice((*NUMBERS, value + 1, value - 1, float(value)))
    if isinstance(value, float):
        return rng.choice((*FLOATS, -value, int(value) if math.isfinite(value) else 0))
    if isinstance(value, list):
        return rng.choice((value * 2, value[:-1], value[::-1], value * 50, [value]))
    return rng.choice((*NUMBERS, *TEXTS))


def mad_bytes(value: bytes, rng: Random) -> bytes:
    """Numbers in an array that no structure, time or index should have."""
    kind = rng.choice(PACKED)
    code = {"<f4": "<f", "<f8": "<d", "<i4": "<i", "<i8": "<q"}[kind]
    number: Any = rng.choice(FLOATS if "f" in kind else NUMBERS)
    try:
        word = struct.pack(code, number)
    except (struct.error, OverflowError):
        word = b"\xff\xff\xff\x7f"
    n = len(word)
    if rng.random() < 0.3:
        return (word * (len(value) // n + 1))[: len(value)]
    if rng.random() < 0.1:
        return rng.choice((value[:-1], value * 2, value[::-1]))
    at = rng.randrange(len(value)) // n * n
    return (value[:at] + word + value[at + n :])[: len(value)]


TEXT_WORDS = (
    *(str(number).encode() for number in (*NUMBERS, *FLOATS)),
    *(b"1e999", b"99999999999999999999", b"-", b" ", b"\n", b"\0", b"\t", b"\r\n", b"\xff"),
)
