"""What the server answers, as the broker's own types and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stream.broker import Completion, Entry, Lease, ResultEntry, RunState
from stream.messages import RunSpec, check_run_name
from stream.refusals import (
    refuse_by_writer,
    refuse_existing,
    refuse_fenced,
    refuse_full,
    refuse_sealed,
    refuse_unknown,
)
from xas.errors import Fenced, RunRefused, Stop

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
        raise Stop(f"shard {lease.shard}: the server lost a run while it was being written")


def completion_args(c: Completion) -> list[object]:
    """The arguments of ``complete.lua``."""
    entry = c.entry
    return [
        GROUP,
        entry.id,
        len(entry.payload),
        entry.run,
        entry.first,
        entry.n_frames,
        c.result,
        c.n_dead,
        c.model,
        *c.dead,
    ]


def text(value: bytes | str) -> str:
    """Whatever the library gave, as text."""
    return value.decode() if isinstance(value, bytes) else value


def entry_from(stream: bytes, item: Any, deliveries: int = 1) -> Entry:
    """An entry; one that nobody pushed through us has no run and is buried."""
    entry_id, fields = item
    fields = fields if isinstance(fields, dict) else {}
    try:
        run, first, n = text(fields[b"r"]), int(fields[b"i"]), int(fields[b"n"])
        check_run_name(run)
        if first < 0 or not 0 < n <= MAX_FRAMES:
            raise ValueError
    except (KeyError, ValueError, RunRefused):
        run, first, n = "", 0, 0
    return Entry(
        stream=text(stream),
        id=text(entry_id),
        run=run,
        first=first,
        n_frames=n,
        payload=fields.get(b"b", b""),
        deliveries=deliveries,
    )


def result_from(item: Any) -> ResultEntry:
    """An entry of the results stream."""
    entry_id, fields = item
    return ResultEntry(
        id=text(entry_id),
        run=text(fields[b"r"]),
        first=int(fields[b"i"]),
        n_frames=int(fields[b"n"]),
        payload=fields[b"b"],
        held_bytes=int(fields[b"z"]),
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
