from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from bundles import iron_oxides
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stream.broker import Entry
from stream.codec import DTYPES, MAGIC, PROTOCOL_VERSION, Array, decode, encode
from stream.messages import (
    DeadLetter,
    FrameBlock,
    ModelRecord,
    ResultBlock,
    check_run_name,
    join_sites,
    join_structures,
    join_times,
)
from workers.batcher import Batch, Job, batches
from xas.errors import BadMessage, NewerProtocol, RunRefused
from xas.structure import Sites, StructureBatch

MESSAGES = [FrameBlock, ResultBlock, DeadLetter, ModelRecord]


def frames(n: int = 3, **changes: Any) -> FrameBlock:
    structures = iron_oxides(n)
    block = FrameBlock.of(
        structures,
        run="md",
        first=4,
        model="tiny",
        absorber="Fe",
        t_pushed=1.5,
        times=np.arange(n) * 2.0,
        sites=Sites(np.arange(n), np.zeros(n, dtype=np.int64)),
    )
    return msgspec.structs.replace(block, **changes)


def envelope(body: Any, *, magic: Any = MAGIC, version: Any = PROTOCOL_VERSION) -> bytes:
    return msgspec.msgpack.encode([magic, version, "FrameBlock", body])


def open_batch(payload: bytes) -> Batch:
    """A block in the eyes of a worker, its arrays looked at."""
    entry = Entry(stream="s", id="1", run="md", first=4, n_frames=3, payload=payload)
    (batch,) = batches([Job.of(entry)], 0)
    assert batch.joined
    return batch


@given(st.sampled_from(DTYPES).flatmap(lambda d: arrays(np.dtype(d), array_shapes(min_side=0))))
def test_an_array_arrives_as_it_was_sent(values: np.ndarray) -> None:
    sent = msgspec.msgpack.encode(Array.of(values))
    array = msgspec.msgpack.decode(sent, type=Array)
    found = array.view(values.dtype.newbyteorder("<").str, *values.shape)
    np.testing.assert_array_equal(found, values)
    assert not found.flags.writeable


def test_big_endian_and_strided_arrays_travel_too() -> None:
    values = np.arange(12, dtype=">f8").reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(Array.of(values).view("<f8", 3, 2), values)


@pytest.mark.parametrize("dtype", ["O", "U3", "<c16", "<M8[s]", "<u8", "<f2"])
def test_arrays_of_other_types_do_not_travel(dtype: str) -> None:
    with pytest.raises(BadMessage, match="do not travel"):
        Array.of(np.zeros(2, dtype=dtype))


def test_decoded_arrays_are_views_into_the_bytes() -> None:
    payload = encode(frames())
    structures = decode(payload, FrameBlock).structures()
    whole = np.frombuffer(payload, dtype=np.uint8)
    assert np.shares_memory(structures.positions, whole)
    assert np.shares_memory(structures.numbers, whole)


@given(st.integers(1, 6), st.booleans(), st.booleans(), st.data())
def test_a_block_arrives_as_it_was_sent(n: int, cells: bool, timed: bool, data: Any) -> None:
    plain = iron_oxides(n)
    structures = StructureBatch.from_arrays(
        plain.numbers,
        plain.positions,
        plain.offsets,
        np.tile(9.0 * np.eye(3), (n, 1, 1)) if cells else None,
        np.ones((n, 3), bool) if cells else None,
    )
    times = data.draw(arrays(np.float64, n)) if timed else None
    block = FrameBlock.of(
        structures, run="a", first=7, model="m", t_pushed=0.0, times=times, sites=None
    )
    found = decode(encode(block), FrameBlock)
    for name in ("numbers", "positions", "offsets", "cells", "pbc"):
        np.testing.assert_array_equal(
            getattr(found.structures(), name), getattr(structures, name), strict=cells
        )
    expected = times if timed else np.arange(7, 7 + n)
    np.testing.assert_array_equal(found.frame_times(), expected)
    assert (found.n_frames, found.sites()) == (n, None)


def test_a_cut_frame_keeps_its_index_time_and_absorbers() -> None:
    one = frames().cut(2)
    assert (one.first, one.n_frames, one.frame_times().tolist()) == (6, 1, [4.0])
    assert one.sites() == Sites(np.array([0]), np.array([0]))
    np.testing.assert_array_equal(one.structures().positions, iron_oxides(1, first=2).positions)


def test_bytes_cut_anywhere_are_a_bad_message() -> None:
    payload = encode(frames())
    for end in range(len(payload)):
        with pytest.raises(BadMessage):
            decode(payload[:end], FrameBlock)
    with pytest.raises(BadMessage):
        decode(payload + b"\x00", FrameBlock)


@given(st.binary(max_size=200), st.sampled_from(MESSAGES))
def test_random_bytes_are_a_bad_message(payload: bytes, kind: type[msgspec.Struct]) -> None:
    with pytest.raises(BadMessage):
        decode(payload, kind)


@given(st.data())
def test_flipped_bytes_are_a_bad_message_or_a_consistent_block(data: Any) -> None:
    payload = bytearray(encode(frames()))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = open_batch(bytes(payload))
    except BadMessage:
        return
    (job,) = batch.jobs
    assert len(batch.joined[0]) == len(job.block.frame_times()) == 3
    assert len([*job.frames()]) == 3


@given(
    st.recursive(
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_a_body_of_anything_is_a_bad_message(body: Any) -> None:
    with pytest.raises(BadMessage):
        decode(envelope(body), FrameBlock)


@pytest.mark.parametrize("kind", [ResultBlock, DeadLetter, ModelRecord])
def test_another_kind_of_message_is_named(kind: type[msgspec.Struct]) -> None:
    with pytest.raises(BadMessage, match=f"'FrameBlock' stands where a {kind.__name__} belongs"):
        decode(encode(frames()), kind)


def test_a_newer_message_is_recognised_whatever_its_body_has_become() -> None:
    for body in (None, 3, [1, [2]], {"run": 5}):
        with pytest.raises(NewerProtocol, match="update edgestream"):
            decode(envelope(body, version=PROTOCOL_VERSION + 1), FrameBlock)


@pytest.mark.parametrize(
    ("magic", "version"), [("other", 1), (7, 1), (MAGIC, "1"), (MAGIC, 2**64), (MAGIC, None)]
)
def test_a_strange_envelope_is_a_bad_message(magic: Any, version: Any) -> None:
    try:
        payload = envelope({}, magic=magic, version=version)
    except OverflowError:
        payload = msgspec.msgpack.encode([magic, 0])[:-1] + b"\xcf" + b"\xff" * 8
    with pytest.raises(BadMessage):
        decode(payload, FrameBlock)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\xdc\x00\x01"])
def test_deep_nesting_is_a_bad_message(opening: bytes) -> None:
    body = opening * 100_000 + b"\xc0"
    payload = b"\x94" + msgspec.msgpack.encode(MAGIC) + b"\x01\xaaFrameBlock" + body
    with pytest.raises(BadMessage):
        decode(payload, FrameBlock)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_a_huge_declared_length_is_a_bad_message(head: bytes) -> None:
    block = encode(frames())
    payload = block[: block.index(b"sizes") + 5] + head + b"\xff\xff\xff\xff"
    with pytest.raises(BadMessage):
        decode(payload, FrameBlock)


LIES = {
    "a huge shape": {"positions": Array("<f4", (2**40, 3), memoryview(b"abcd"))},
    "a shape whose bytes overflow": {"numbers": Array("|u1", (2**62,), memoryview(b""))},
    "a negative shape": {"numbers": Array("|u1", (-1,), memoryview(b"a"))},
    "too few bytes": {"positions": Array("<f4", (12, 3), memoryview(b"1234"))},
    "a scalar": {"sizes": Array("<i4", (), memoryview(b"1234"))},
    "another dtype": {"positions": Array("<f8", (12, 3), memoryview(b"0" * 288))},
    "a dtype of objects": {"numbers": Array("|O", (12,), memoryview(b"0" * 96))},
    "a dtype that is none": {"numbers": Array("a" * 999, (12,), memoryview(b"0" * 12))},
    "sizes that are negative": {"sizes": Array.of(np.array([15, -6, 3], dtype="<i4"))},
    "sizes that do not add up": {"sizes": Array.of(np.array([3, 4, 6], dtype="<i4"))},
    "no frames at all": {"sizes": Array.of(np.zeros(0, dtype="<i4"))},
    "times of another number": {"times": Array.of(np.zeros(2))},
    "times of another type": {"times": Array.of(np.zeros(3, dtype="<f4"))},
    "cells of another number": {"cells": Array.of(np.zeros((2, 3, 3)))},
    "flags of another shape": {"pbc": Array.of(np.zeros((3, 2), dtype=bool))},
    "an absorber of no frame": {"site_frame": Array.of(np.array([0, 1, 3], dtype="<i4"))},
    "an absorber before the first frame": {
        "site_frame": Array.of(np.array([-1, 1, 2], dtype="<i4"))
    },
    "an absorber that is no atom": {"site_atom": Array.of(np.array([0, 0, 99], dtype="<i4"))},
    "absorbers out of order": {"site_frame": Array.of(np.array([2, 1, 0], dtype="<i4"))},
    "absorbers of two lengths": {"site_atom": Array.of(np.zeros(2, dtype="<i4"))},
    "another run": {"run": "other"},
    "another index": {"first": 5},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_block_that_lies_is_a_bad_message(lie: str) -> None:
    with pytest.raises(BadMessage):
        open_batch(encode(frames(**LIES[lie])))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_joined_blocks_are_their_structures_end_to_end(sizes: list[int], data: Any) -> None:
    blocks, parts, first = [], [], 0
    for n in sizes:
        plain = iron_oxides(n, first=first)
        cells = np.full((n, 3, 3), float(n)) if data.draw(st.booleans()) else None
        pbc = None if cells is None else np.ones((n, 3), dtype=bool)
        parts.append(replace(plain, cells=cells, pbc=pbc))
        site = Sites(np.arange(n), np.arange(n) % 2)
        blocks.append(
            FrameBlock.of(parts[-1], run="a", first=first, model="m", t_pushed=0.0, sites=site)
        )
        first += n
    joined, expected = join_structures(blocks), StructureBatch.concatenate(parts)
    for name in ("numbers", "positions", "offsets", "cells", "pbc"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(expected, name))
    sites = join_sites(blocks)
    assert sites is not None
    np.testing.assert_array_equal(sites.structure, np.arange(first))
    np.testing.assert_array_equal(sites.atom, np.concatenate([np.arange(n) % 2 for n in sizes]))
    np.testing.assert_array_equal(join_times(blocks), np.arange(first))


@pytest.mark.parametrize("honest_first", [True, False])
@pytest.mark.parametrize("lie", sorted({*LIES} - {"another run", "another index"}))
def test_a_lie_is_found_among_honest_blocks(lie: str, honest_first: bool) -> None:
    blocks = [frames(), frames(**LIES[lie])]
    with pytest.raises(BadMessage):
        join(blocks if honest_first else blocks[::-1])


def join(blocks: list[FrameBlock]) -> None:
    join_structures(blocks)
    join_sites(blocks)
    join_times(blocks)


@pytest.mark.parametrize("name", ["a", "md-300K", "_x", "A.b_c-9", "x" * 64])
def test_a_run_may_be_called(name: str) -> None:
    assert check_run_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "x" * 65, "a/b", "a b", "a\n", "ü", "a:b", "{a}", "*"])
def test_a_run_may_not_be_called(name: str) -> None:
    with pytest.raises(RunRefused, match="cannot name a run"):
        check_run_name(name)
