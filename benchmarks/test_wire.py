"""The bytes of a block: made by the producer, read by the worker."""

from __future__ import annotations

from typing import Any

from edgestream.bench.structures import Movie
from stream.codec import decode, encode
from stream.messages import FrameBlock


def block_of(film: Movie) -> FrameBlock:
    return FrameBlock.of(
        film.chunks[0].structures, run="bench", first=0, model="fe-k", t_pushed=0.0
    )


def test_a_block_is_encoded(benchmark: Any, film: Movie) -> None:
    block = benchmark(lambda: encode(block_of(film)))
    assert len(block) > 12 * film.chunks[0].structures.n_atoms


def test_a_block_is_decoded(benchmark: Any, film: Movie) -> None:
    payload = encode(block_of(film))
    structures = benchmark(lambda: decode(payload, FrameBlock).structures())
    assert len(structures) == len(film.chunks[0])
