"""Runs with dead letters, without a model: what a worker would give back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from stage import result_of

from stream.broker import Completion, Entry
from stream.codec import Array, decode, encode
from stream.dead_letters import RunLetters
from stream.messages import DeadLetter, FrameBlock, ResultBlock


def letter_of(entry: Entry, index: int, at: float = 1.0, error: str = "UnknownModel") -> bytes:
    block = decode(entry.payload, FrameBlock)
    return encode(
        DeadLetter(
            run=entry.run, first=index, n_frames=1, reason=f"frame {index} is bad", error=error,
            attempts=1, worker="w", model="", t_failed=at,
            original=memoryview(encode(block.cut(index - entry.first))),
        )
    )  # fmt: skip


def answer_of(entry: Entry, dead: Sequence[int], *, at: float = 1.0, **options: Any) -> Completion:
    """A completion with the dead letters of those frames; model "": of all frames."""
    if options.get("model") == "":
        dead = range(entry.first, entry.first + entry.n_frames)
    own = [i for i in dead if entry.first <= i < entry.first + entry.n_frames]
    done = result_of(entry, dead=dead, **options)
    return replace(done, dead=[letter_of(entry, i, at) for i in own], n_dead=len(own))


def unreadable(entry: Entry) -> Completion:
    """As a worker answers who cannot read an entry: one letter for all of its frames."""
    done = answer_of(entry, (), model="")
    result = decode(done.result, ResultBlock)
    result = msgspec.structs.replace(result, ours=False, t_pushed=Array.of(np.zeros(0)))
    letter = decode(letter_of(entry, entry.first), DeadLetter)
    letter = msgspec.structs.replace(
        letter, n_frames=entry.n_frames, original=memoryview(entry.payload)
    )
    return replace(done, result=encode(result), dead=[encode(letter)])


def work(broker: Any, dead: Sequence[int] = (), **options: Any) -> list[bool]:
    """Read and complete whatever is there."""
    entries = broker.read("w", block_s=0)
    counted: list[bool] = broker.complete("w", [answer_of(e, dead, **options) for e in entries])
    return counted


def requeue(broker: Any, out: Path, run: str = "md", index: Sequence[int] | None = None) -> int:
    """Give dead letters back; how many."""
    letters = [k for k in RunLetters(out, run).letters() if index is None or k.index in index]
    for kept in letters:
        broker.requeue(run, kept.letter.first, kept.letter.n_frames, kept.original())
    return len(letters)


def indices(out: Path, run: str = "md") -> list[int]:
    return [kept.index for kept in RunLetters(out, run).letters()]
