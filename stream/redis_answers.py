"""What the server answers, as the broker's own types and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from stream.broker import Completion, Entry, Lease, ResultEntry, RunState
from stream.codec import unpack
from stream.messages import RunSpec, check_run_name
from stream.refusals import (
    refuse_by_writer,
    refuse_existing,
    refuse_fenced,
    refuse_full,
    refuse_sealed,
    refuse_unknown,
)
from stream.server_connections import Word
from xas.errors import Fenced, RunForgotten, RunRefused

GROUP = "workers"
MAX_FRAMES = 2**24  # in one entry; far above any block of ours
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
            key=self.key,
        )


def located(stream: str, item: Any) -> Located:
    """Read an entry; one that nobody pushed through us has no run and is buried."""
    entry_id, flat = item
    fields = as_dict(flat)
    try:
        run, first, n = text(fields[b"r"]), int(fields[b"i"]), int(fields[b"n"])
        key = text(fields[b"k"])
        check_run_name(run)
        if first < 0 or not 0 < n <= MAX_FRAMES or not key.startswith(_block_prefix(stream)):
            raise ValueError
    except (KeyError, ValueError, RunRefused):
        return Located(text(entry_id), "", 0, 0, "", False, b"\n".join(flat or ()))
    return Located(text(entry_id), run, first, n, key, b"q" in fields, b"")


def _block_prefix(stream: str) -> str:
    """How the keys of a stream's own blocks begin; a stranger must not name any others."""
    return stream.split(":frames")[0] + ":f:"


def result_from(item: Any) -> ResultEntry:
    """An entry of the results stream, without its payload."""
    entry_id, flat = item
    fields = as_dict(flat)
    return ResultEntry(
        id=text(entry_id),
        run=text(fields[b"r"]),
        first=int(fields[b"i"]),
        n_frames=int(fields[b"n"]),
        payload=b"",
        held_bytes=int(fields[b"z"]),
        again=b"q" in fields,
        has_letters=b"d" in fields,
        keys=[text(fields[b"k"]), *text(fields[b"f"]).split(), *_letters_key(fields)],
    )


def run_state_from(run: str, values: Sequence[bytes | None]) -> RunState:
    """A run's record, from the values of RUN_FIELDS."""
    f = {
        k: text(v) if v is not None else "" for k, v in zip(RUN_FIELDS[1:], values[1:], strict=True)
    }
    return RunState(
        run=run,
        spec=msgspec.msgpack.decode(values[0] or b"", type=RunSpec),
        run_id=f["run_id"],
        epoch=int(f["epoch"]),
        next_index=int(f["next"]),
        watermark=int(f["watermark"]),
        held_bytes=int(f["bytes"]),
        sealed=int(f["sealed"]) if f["sealed"] else None,
        interrupted=f["interrupted"] == "1",
        finished=f["finished"] == "1",
        resumed=f["resumed"] == "1",
        dropped=int(f["dropped"]),
        dropped_first=float(f["dropped_first"] or "nan"),
        dropped_last=float(f["dropped_last"] or "nan"),
        dead=int(f["dead"]),
        opened_at=float(f["opened_at"]),
        file=f["file"],
        host=f["host"],
        refusal=f["refusal"],
    )


def _letters_key(fields: dict[bytes, Any]) -> list[str]:
    return [text(fields[b"d"])] if b"d" in fields else []


def with_values(entry: ResultEntry, values: Sequence[bytes | None]) -> ResultEntry:
    """A result with what lies under its keys."""
    payload, *frames = (value or b"" for value in values)
    letters = frames.pop() if entry.has_letters else b""
    return replace(entry, payload=payload, frames=frames, letters=unpack(letters))
