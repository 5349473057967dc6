"""What the server answers, as the broker's own types and errors.

Nothing of it is trusted: each role may write some of these keys by hand (stream/acl.py), and must
not stop others by what it writes there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from stream.broker import Completion, Entry, Lease, ResultEntry, RunState
from stream.codec import unpack
from stream.messages import MAX_BLOCK_FRAMES, RunSpec, check_run_name
from stream.refusals import (
    check_priority,
    refuse_by_writer,
    refuse_crowded,
    refuse_existing,
    refuse_fenced,
    refuse_full,
    refuse_paused,
    refuse_sealed,
    refuse_unknown,
    refuse_while_draining,
)
from stream.server_connections import Word
from xas.errors import BadMessage, Fenced, RunForgotten, RunRefused

GROUP = "workers"
MAX_INDEX = 2**53  # what Lua counts without an error
MAX_TEXT = 4096  # bytes of a field of a record
RUN_FIELDS = (
    "spec",
    "run_id",
    "epoch",
    "next",
    "watermark",
    "bytes",
    "sealed",
    "interrupted",
    "finished",
    "resumed",
    "dropped",
    "dropped_first",
    "dropped_last",
    "dead",
    "opened_at",
    "file",
    "host",
    "refusal",
)


def check_answer(run: str, answer: Any) -> None:
    """Raise what a producer's script refused."""
    kind, detail = text(answer[0]), text(answer[1]) if len(answer) > 1 else ""
    if kind == "full":
        refuse_full(run, int(detail))
    if kind == "draining":
        refuse_while_draining()
    if kind == "paused":
        refuse_paused(run)
    if kind == "crowded":
        refuse_crowded(run, int(detail))
    if kind == "fenced":
        refuse_fenced(run)
    if kind == "unknown":
        refuse_unknown(run)
    if kind == "refused":
        refuse_by_writer(run, detail)
    if kind == "sealed":
        refuse_sealed(run, int(detail))
    if kind == "exists":
        refuse_existing(run, int(detail))


def check_lease(lease: Lease, answer: Any) -> None:
    """Raise what a writer's script refused."""
    if answer[0] == b"fenced":
        raise Fenced(f"shard {lease.shard} has another writer now; {lease.owner} must stop")
    if answer[0] == b"unknown":
        raise RunForgotten(f"shard {lease.shard}: the server lost a run while it was being written")


def completion_args(consumer: str, c: Completion) -> list[Word]:
    """The arguments of ``complete.lua``."""
    first = c.entries[0]
    return [
        GROUP,
        consumer,
        first.run,
        first.first,
        sum(e.n_frames for e in c.entries),
        sum(len(e.payload) for e in c.entries),
        c.model,
        c.n_dead,
        len(c.entries),
        *(e.id for e in c.entries),
        int(bool(c.dead)),
        int(first.again),
        sum(e.reserved for e in c.entries),
    ]


def as_dict(fields: Any) -> dict[bytes, Any]:
    """Names and values, which come as a flat list; nothing for an entry that was deleted."""
    return dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}


def text(value: bytes | str) -> str:
    """Whatever the library gave, as text."""
    return value.decode() if isinstance(value, bytes) else value


class Located(NamedTuple):
    """What an entry says: which frames, and where their block is."""

    id: str
    run: str
    first: int
    n_frames: int
    key: str
    again: bool
    reserved: int
    foreign: bytes

    def entry(self, stream: str, payload: bytes | None, deliveries: int) -> Entry:
        """With the block, where it is still there."""
        return Entry(
            stream=stream,
            id=self.id,
            run=self.run,
            first=self.first,
            n_frames=self.n_frames,
            payload=payload or self.foreign,
            deliveries=deliveries,
            again=self.again,
            reserved=self.reserved,
            key=self.key,
        )


def located(stream: str, item: Any) -> Located:
    """Read an entry; one that nobody pushed through us has no run and is buried."""
    entry_id, flat = item
    fields = as_dict(flat)
    try:
        run, first, n = _frames_of(fields)
        key = _key_of(stream, fields[b"k"], "f")
        reserved = _count(fields.get(b"g", b"0"))
    except _NOT_OURS:
        return Located(text(entry_id), "", 0, 0, "", False, 0, b"\n".join(flat or ()))
    return Located(text(entry_id), run, first, n, key, b"q" in fields, reserved, b"")


_NOT_OURS = (KeyError, ValueError, RunRefused)
# hexadecimal of 16 random bytes, and a number: see RedisBroker._new_key
_VALUE_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{1,18}")


def _frames_of(fields: dict[bytes, Any]) -> tuple[str, int, int]:
    """Run, first index and number of frames of an entry; ValueError, KeyError or RunRefused."""
    run, first, n = check_run_name(text(fields[b"r"])), _count(fields[b"i"]), _count(fields[b"n"])
    if not 0 < n <= MAX_BLOCK_FRAMES:
        raise ValueError(f"{n} frames in one entry")
    return run, first, n


def _key_of(stream: str, key: bytes, kind: str) -> str:
    """The key of a value of that kind in the stream's shard: a stranger must not name another."""
    shard, name = stream.partition("}:")[0], text(key)
    start = f"{shard}}}:{kind}:"
    if not (name.startswith(start) and _VALUE_NAME.fullmatch(name, len(start))):
        raise ValueError(f"{name[:80]!r} is no key of ours")
    return name


def _count(digits: bytes | None) -> int:
    """A number that is counted with; ValueError for anything else."""
    if digits is None or not re.fullmatch(rb"[0-9]{1,16}", digits) or int(digits) > MAX_INDEX:
        raise ValueError(f"{(digits or b'nothing')[:40]!r} is no count")
    return int(digits)


def result_from(stream: str, item: Any) -> ResultEntry:
    """An entry of the results stream, without its payload; without a run where it is not ours."""
    entry_id, flat = item
    fields = as_dict(flat)
    try:
        run, first, n = _frames_of(fields)
        keys = [_key_of(stream, fields[b"k"], "r")]
        keys += [_key_of(stream, key, "f") for key in fields[b"f"].split(b" ")]
        keys += [_key_of(stream, fields[b"d"], "d")] if b"d" in fields else []
        held_bytes = _count(fields[b"z"])
    except _NOT_OURS:
        run, first, n, keys, held_bytes = "", 0, 0, [], 0
    return ResultEntry(
        id=text(entry_id),
        run=run,
        first=first,
        n_frames=n,
        payload=b"",
        held_bytes=held_bytes,
        again=b"q" in fields,
        has_letters=b"d" in fields and bool(run),
        keys=keys,
    )


def run_state_from(
    run: str | bytes, values: Sequence[bytes | None], shut: bytes | None
) -> RunState:
    """A run's record, from the values of RUN_FIELDS; one that is none has a ``fault``.

    ``shut``: since when its gate is shut.
    """
    name = run if isinstance(run, str) else run.decode(errors="replace")
    try:
        fields = dict(zip(RUN_FIELDS, values, strict=True))
        return replace(_run_state(check_run_name(name), fields), paused_at=time_of(shut))
    except (ValueError, RunRefused) as error:
        return replace(NO_RUN, run=name[:MAX_TEXT], fault=f"its record is damaged: {error}")


NO_RUN = RunState(
    run="",
    spec=RunSpec(model=""),
    run_id="",
    epoch=0,
    next_index=0,
    watermark=0,
    held_bytes=0,
    sealed=None,
    interrupted=False,
    finished=False,
    resumed=False,
    dropped=0,
    dropped_first=float("nan"),
    dropped_last=float("nan"),
    dead=0,
    opened_at=0.0,
    file="",
    host="",
    refusal="",
)


def _run_state(run: str, values: dict[str, bytes | None]) -> RunState:
    f = {name: _words(name, value) for name, value in values.items() if name != "spec"}
    n = {name: _counted(name, values[name]) for name in _COUNTS}
    return RunState(
        run=run,
        spec=_spec(values["spec"]),
        run_id=f["run_id"],
        epoch=n["epoch"],
        next_index=n["next"],
        watermark=n["watermark"],
        held_bytes=n["bytes"],
        sealed=_counted("sealed", values["sealed"]) if f["sealed"] else None,
        interrupted=f["interrupted"] == "1",
        finished=f["finished"] == "1",
        resumed=f["resumed"] == "1",
        dropped=n["dropped"],
        dropped_first=float(f["dropped_first"] or "nan"),
        dropped_last=float(f["dropped_last"] or "nan"),
        dead=n["dead"],
        opened_at=_moment(f["opened_at"]),
        file=f["file"],
        host=f["host"],
        refusal=f["refusal"],
    )


_COUNTS = ("epoch", "next", "watermark", "bytes", "dropped", "dead")


def _counted(name: str, value: bytes | None) -> int:
    try:
        return _count(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _words(name: str, value: bytes | None) -> str:
    """A text in one line; ValueError for another."""
    if value is None:
        return ""
    words = value.decode()
    if len(value) > MAX_TEXT or "\0" in words:
        raise ValueError(f"{name}: {len(value)} bytes, or no text")
    return words


def _moment(words: str) -> float:
    """Seconds since 1970 that a calendar has."""
    seconds = float(words)
    if not 0.0 <= seconds < 1e11:
        raise ValueError(f"opened_at: {seconds:g} s is no time")
    return seconds


def _spec(packed: bytes | None) -> RunSpec:
    """What the producer asks for; ValueError where that is none."""
    if packed is None or len(packed) > MAX_TEXT:
        raise ValueError("spec: absent, or too long")
    try:
        spec = msgspec.msgpack.decode(packed, type=RunSpec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"spec: {error}") from None
    check_priority(spec.priority)
    if any("\0" in words for words in msgspec.structs.astuple(spec) if isinstance(words, str)):
        raise ValueError("spec: a text with a zero in it")
    return spec


def time_of(value: bytes | None) -> float | None:
    """A time, where there is one."""
    return None if value is None else float(value)


def with_values(entry: ResultEntry, values: Sequence[bytes | None]) -> ResultEntry:
    """A result with what lies under its keys; letters that cannot be read are none."""
    if not entry.run:
        return entry
    payload, *frames = (value or b"" for value in values)
    packed, letters = frames.pop() if entry.has_letters else b"", list[bytes]()
    with contextlib.suppress(BadMessage):
        letters = unpack(packed)
    return replace(entry, payload=payload, frames=frames, letters=letters)
