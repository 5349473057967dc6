"""Columns of text, in C and in Python: every number as float() reads it, and nothing else."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.sources import columns, columns_in_python

READERS = [pytest.param(columns_in_python.read_rows, id="python")]
if columns.IS_COMPILED:
    READERS.append(pytest.param(columns.read_rows, id="c"))
HARD = """
0 -0 +0 00 0. .0 -.5 5. 1e5 1E+5 1e-5 .5e-3 1e22 1e23 1e-22 1e-23 123456789e-19 1e-400 1e400
-1e999 9007199254740992 9007199254740993 9007199254740995 9223372036854775807 9999999999999999999
18446744073709551615 18446744073709551616 99999999999999999999 0.30000000000000004
0.1000000000000000055 0.1000000000000000056 0.5000000000000000001 0.4999999999999999999
1.7976931348623157e308 4.9e-324 2.4703282292062327e-324 2.2250738585072011e-308 nan inf -Infinity
1.00000005960464477539 1.000000059604644775390625 16777217.0 0.000000000000000000000001
3.4028235677973366e38 7038531e-26 1.0000000000000000000000000000000000000000000001 0e999 0e-999
8.5000000000000000e-19 1234567890.123456789 0.0000000000000000001 12345678901234567890.5
""".split()  # noqa: SIM905

digits = st.text("0123456789", min_size=1, max_size=22)
written = st.one_of(
    st.floats().map(repr),
    st.floats(-50, 50).map(lambda x: f"{x:.8f}"),
    st.floats(-1e3, 1e3).map(lambda x: f"{x:.16g}"),
    st.tuples(st.sampled_from(["", "-", "+"]), digits, digits).map(
        lambda t: f"{t[0]}{t[1]}.{t[2]}"
    ),
    st.tuples(digits, digits, st.integers(-330, 330)).map(lambda t: f"{t[0]}.{t[1]}e{t[2]}"),
    st.sampled_from(HARD),
)


def numbers_of(read_rows, words):
    numbers, labels = np.empty((len(words), 1)), np.empty((len(words), 0), dtype=np.uint64)
    n_read = read_rows("\n".join(words).encode() + b"\n", len(words), b"f", numbers, labels)
    return n_read, numbers[:, 0]


def bits(values) -> list[bytes]:
    return [struct.pack("d", value) if value == value else b"nan" for value in values]


@pytest.mark.parametrize("read_rows", READERS)
@given(words=st.lists(written, max_size=20))
@example(words=HARD)
@settings(max_examples=300, deadline=None)
def test_every_number_is_that_of_float_to_the_last_bit(read_rows, words):
    n_read, numbers = numbers_of(read_rows, words)
    assert n_read == len(words)
    assert bits(numbers) == bits(float(word) for word in words)


@pytest.mark.parametrize("read_rows", READERS)
def test_the_middle_between_two_doubles_goes_to_the_even_one(read_rows):
    random = np.random.default_rng(1)
    words = []
    for bits_ in random.integers(
        1 << 52, 1 << 53, 2000
    ):  # n + 1/2 with 54 bits, and its neighbours
        twice = 2 * int(bits_) + 1
        words += [f"{twice // 2}.5", f"{twice // 2}.499", f"{twice // 2}.501", f"{5 * twice}e-1"]
    n_read, numbers = numbers_of(read_rows, words)
    assert n_read == len(words)
    assert bits(numbers) == bits(float(word) for word in words)


@pytest.mark.parametrize("read_rows", READERS)
@pytest.mark.parametrize(
    "word",
    [
        "-",
        ".",
        "e5",
        "1e",
        "1e+",
        "1.2.3",
        "1,5",
        "0x10",
        "1d5",
        "--1",
        "1-2",
        "1.5*",
        "\x001",
        "1\xa0",
    ],
)
def test_what_is_no_number_stops_the_reading_at_its_row(read_rows, word):
    n_read, _ = numbers_of(read_rows, ["1.5", "2.5", word, "3.5"])
    assert n_read == 2


@pytest.mark.parametrize("read_rows", READERS)
@pytest.mark.parametrize("row", [b"Fe 1 2\n", b"\n", b"", b"Fe 1 x 3\n", b"Ferrocene 1 2 3\n"])
def test_a_row_unlike_the_plan_stops_the_reading(read_rows, row):
    numbers, labels = np.empty((3, 3)), np.empty((3, 1), dtype=np.uint64)
    text = b"Fe 1 2 3 and more\r\n\tO\t1 2 3\n" + row
    assert read_rows(text, 3, b"sfff", numbers, labels) == 2
    assert labels[:2, 0].tolist() == [int.from_bytes(b"Fe", "little"), ord("O")]


words_and_noise = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [b"Fe", b"1.5", b"-2e3", b"\n", b" ", b"\n\n", b"\r", b"nan", b"\x00", b"1e"]
        ),
        max_size=40,
    ).map(b" ".join),
)


@pytest.mark.skipif(not columns.IS_COMPILED, reason="the C reader is not built")
@given(text=words_and_noise, plan=st.text("fs-", min_size=1, max_size=6), n_rows=st.integers(0, 8))
@settings(max_examples=400, deadline=None)
def test_both_readers_agree_on_any_bytes(text, plan, n_rows):
    found = []
    for read_rows in (columns.read_rows, columns_in_python.read_rows):
        numbers = np.zeros((n_rows, plan.count("f")))
        labels = np.zeros((n_rows, plan.count("s")), dtype=np.uint64)
        n_read = read_rows(text, n_rows, plan.encode(), numbers, labels)
        found.append((n_read, bits(numbers[:n_read].ravel()), labels[:n_read].tolist()))
    assert found[0] == found[1]


@pytest.mark.skipif(not columns.IS_COMPILED, reason="the C reader is not built")
@given(text=st.binary(max_size=60), start=st.integers(0, 70), n_lines=st.integers(0, 9))
def test_both_count_lines_alike(text, start, n_lines):
    expected = columns_in_python.behind_lines(text, start, n_lines)
    assert columns.behind_lines(text, start, n_lines) == expected


@pytest.mark.skipif(not columns.IS_COMPILED, reason="the C reader is not built")
def test_arrays_too_small_for_the_rows_are_refused():
    with pytest.raises(ValueError, match="too small"):
        columns.read_rows(b"1\n", 2, b"f", np.empty((1, 1)), np.empty((2, 0), dtype=np.uint64))
