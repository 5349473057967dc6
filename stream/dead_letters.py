"""Dead letters on disk: beside ``RUN.h5`` lies ``RUN.dead`` with the frames that have no spectrum.

Its records are letters, as workers wrote them, and words about them: dropped. ``RUN.answers`` says
what became of those that were requeued (``stream.amendments``). Entries that belong to no run lie
in ``strangers@SHARD.dead``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from stream.broker import NOTICES
from stream.codec import decode, encode
from stream.messages import PREDICTED, DeadLetter, ResultBlock
from stream.record_file import append, record_at, records
from stream.storage import storage
from xas.errors import BadMessage

LETTERS, ANSWERS = ".dead", ".answers"
STRANGERS = "strangers@"  # no run has such a name
STRANGERS_BYTES = 2**24  # then they begin again; one earlier file is kept


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has no more use for the letters of a frame; its tombstone stays."""

    first: int
    t_dropped: float


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of requeued frames: the result, its frames, and the record of the model."""

    result: bytes
    frames: list[bytes]
    model: bytes


@dataclass(frozen=True, kw_only=True)
class KeptLetter:
    """A dead letter; ``attempts`` counts all of its lives, ``size`` is that of its frame in bytes.

    ``letter`` is the last one of the frame, without the frame itself where it lies in ``file``;
    ``index`` the frame in its run, or, of a stranger, its number below 0.
    """

    index: int
    letter: DeadLetter
    attempts: int
    size: int
    file: Path | None = None
    at: int = 0

    def original(self) -> bytes:
        """The frame as it was pushed; BadMessage where it is not there."""
        if self.file is None:
            return bytes(self.letter.original)
        return bytes(decode(record_at(self.file, self.at), DeadLetter).original)


@dataclass
class _Fold:
    """Letters by their frame, as records come."""

    file: Path | None = None
    letters: dict[int, KeptLetter] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    strangers: int = 0

    def add(self, at: int, record: bytes) -> None:
        """A letter that came twice, since a writer was killed, counts once."""
        with contextlib.suppress(BadMessage):
            self._keep(at, decode(record, DeadLetter), hash(record))
        with contextlib.suppress(BadMessage):
            self.letters.pop(decode(record, Dropped).first, None)

    def _keep(self, at: int, letter: DeadLetter, name: int) -> None:
        if name in self.seen:
            return
        self.seen.add(name)
        key = letter.first
        if not letter.run:
            self.strangers = key = self.strangers - 1
        before = self.letters.get(key)
        bare = letter if self.file is None else without_frame(letter)
        self.letters[key] = KeptLetter(
            index=key,
            letter=bare,
            attempts=letter.attempts + (before.attempts if before else 0),
            size=len(letter.original),
            file=self.file,
            at=at,
        )


def letters_of(waiting: Sequence[bytes]) -> list[KeptLetter]:
    """Letters that are not on disk yet, run by run."""
    runs: dict[str, _Fold] = {}
    for raw in waiting:
        with contextlib.suppress(BadMessage):
            runs.setdefault(decode(raw, DeadLetter).run, _Fold()).add(0, raw)
    return [letter for name in sorted(runs) for letter in runs[name].letters.values()]


def notices(letters: Sequence[bytes]) -> list[bytes]:
    """The last letters without their frames, for those who do not see the folder."""
    found = []
    for raw in letters[-NOTICES:]:
        with contextlib.suppress(BadMessage):
            found.append(encode(without_frame(decode(raw, DeadLetter))))
    return found


def without_frame(letter: DeadLetter) -> DeadLetter:
    """The letter alone."""
    return msgspec.structs.replace(letter, original=memoryview(b""))


class RunLetters:
    """The dead letters of one run on disk. Opens after any kill; several processes may append."""

    def __init__(self, out: Path, run: str) -> None:
        self.out, self.run = out, run
        self.path, self.answers_path = out / (run + LETTERS), out / (run + ANSWERS)

    def append(self, letters: Sequence[bytes]) -> None:
        """Keep letters; durable when this returns."""
        append(self.path, letters)

    def drop(self, letters: Sequence[KeptLetter], now: float) -> None:
        """Forget letters; their tombstones stay in the result file."""
        append(self.path, [encode(Dropped(first=k.index, t_dropped=now)) for k in letters])

    def answer(self, answered: Sequence[Answered]) -> None:
        """Keep answers to requeued frames; durable when this returns."""
        append(self.answers_path, [encode(a) for a in answered])

    def answers(self) -> Iterator[tuple[Answered, ResultBlock]]:
        """Answers, oldest first."""
        for _, record in records(self.answers_path):
            answered = decode(record, Answered)
            yield answered, decode(answered.result, ResultBlock)

    def letters(self) -> list[KeptLetter]:
        """Those of frames that still have no spectrum and were not dropped, by frame."""
        fold = _Fold(self.path)
        for at, record in records(self.path):
            fold.add(at, record)
        mended = self._mended() if fold.letters and self.answers_path.exists() else set()
        return [k for i, k in sorted(fold.letters.items()) if i not in mended]

    def _mended(self) -> set[int]:
        return {i for _, result in self.answers() for i in predicted_frames(result)}

    def set_aside(self, mark: str) -> None:
        """Put away what an earlier run of the same name has left."""
        for path in (self.path, self.answers_path):
            if path.exists():
                with storage(path):
                    path.rename(path.with_name(f"{path.name}.{mark}"))


def predicted_frames(result: ResultBlock) -> list[int]:
    """The frames of a result that have a spectrum, as indices in the run."""
    status = result.status.view("|u1", result.n_frames)
    return [result.first + int(i) for i in np.flatnonzero(status == PREDICTED)]


def runs_with_letters(out: Path) -> list[str]:
    """What has, or had, dead letters in a folder: runs, and ``strangers@SHARD``."""
    return sorted(path.name.removesuffix(LETTERS) for path in out.glob("*" + LETTERS))


def keep_strangers(out: Path, shard: int, letters: Sequence[bytes]) -> None:
    """Keep letters that belong to no run: the last 16 to 32 MiB of them."""
    path = out / f"{STRANGERS}{shard}{LETTERS}"
    with storage(path):
        if path.exists() and path.stat().st_size > STRANGERS_BYTES:
            path.replace(path.with_suffix(LETTERS + ".old"))
    append(path, letters)
