"""What anybody may look at on Redis 7 or Valkey, and the names of the keys."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

import msgspec

from stream.broker import PRIORITIES, ResultEntry, RunState, ShardState, WorkerState
from stream.codec import unpack
from stream.redis_answers import (
    GROUP,
    RUN_FIELDS,
    as_dict,
    result_from,
    run_state_from,
    text,
    time_of,
)
from stream.redis_connection import RedisConnection
from stream.server_connections import NoSuchGroup, Word
from stream.settings import Settings
from stream.shadows import ShadowCount
from xas.errors import BadMessage

RESULT_ENTRIES = 128
EVERY_RUN = "*"  # among the gates; never a run's name
AHEAD_S = 60  # what came ahead of a script that never ran is forgotten after this

_T = TypeVar("_T")


class RedisViews:
    """See ``stream.broker.ViewerBroker`` for what each call promises; changes nothing."""

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._server = RedisConnection(url)
        self._name, self._numbers = uuid.uuid4().hex, count()

    def close(self) -> None:
        """Let go of connections."""
        self._server.close()

    def check_version(self) -> str:
        """The server's version; Reject below 7.0, ServerUnreachable where none answers."""
        return self._server.check_version()

    def _key(self, shard: int, *parts: str) -> str:
        return ":".join((f"{{es:{shard}}}", *parts))

    def _keys_of(self, run: str, *names: str) -> list[str]:
        """The run's own key, then others of its shard."""
        shard = self.settings.shard_of(run)
        return [self._key(shard, "run", run), *(self._key(shard, name) for name in names)]

    def _new_key(self, run: str, kind: str) -> str:
        """Where one block or result may lie; no other broker ever names the same."""
        number = f"{self._name}-{next(self._numbers)}"
        return self._key(self.settings.shard_of(run), kind, number)

    def _values(self, keys: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = self._server.command("MGET", *keys) if keys else []
        return values

    def _results(self, shard: int, after: str, block_s: float) -> list[ResultEntry]:
        words: list[Word] = ["XREAD", "COUNT", RESULT_ENTRIES]
        if block_s:
            words += ["BLOCK", max(1, int(1000 * block_s))]
        answer = self._server.command(*words, "STREAMS", self._key(shard, "results"), after)
        return [result_from(text(key), it) for key, items in answer or () for it in items]

    def runs(self) -> list[RunState]:
        """See ViewerBroker."""
        return [s for k in range(self.settings.shards) for s in self._states(k, "runs")]

    def _states(self, shard: int, names_key: str) -> list[RunState]:
        found, gates = self._server.commands(
            [("SMEMBERS", self._key(shard, names_key)), ("HGETALL", self._key(shard, "gates"))]
        )
        names, shut = sorted(found), as_dict(gates)
        answers = self._server.commands(
            [("HMGET", self._record_key(name), *RUN_FIELDS) for name in names]
        )
        return [
            run_state_from(name, answer, shut.get(name))
            for name, answer in zip(names, answers, strict=True)
            if any(value is not None for value in answer)
        ]

    def _record_key(self, name: bytes) -> str | bytes:
        """Where a run's record is; what somebody named so by hand is looked for nowhere else."""
        run = name.decode(errors="replace")
        return self._keys_of(run)[0]

    def run(self, run: str) -> RunState | None:
        """See ViewerBroker."""
        key, gates = self._keys_of(run, "gates")
        answer, shut = self._server.commands([("HMGET", key, *RUN_FIELDS), ("HGET", gates, run)])
        known = any(value is not None for value in answer)
        return run_state_from(run, answer, shut) if known else None

    def workers(self) -> list[WorkerState]:
        """See ViewerBroker."""
        answer = self._server.command("HVALS", self._key(0, "workers"))
        seconds, micros = self._server.command("TIME")
        now = int(seconds) + int(micros) / 1e6
        states = _readable(worker_from, answer)
        alive = [w for w in states if now - w.seen_at < self.settings.worker_silence_s]
        return sorted(alive, key=lambda w: w.name)

    def shadows(self) -> list[ShadowCount]:
        """See ViewerBroker."""
        answer = self._server.command("HVALS", self._key(0, "shadows"))
        found = _readable(shadow_from, answer)
        return sorted(found, key=lambda c: (c.run, c.served, c.shadow))

    def shards(self) -> list[ShardState]:
        """See ViewerBroker."""
        return [self._shard(k) for k in range(self.settings.shards)]

    def _shard(self, k: int) -> ShardState:
        streams = [self._key(k, "frames", p) for p in PRIORITIES]
        found = self._server.commands(
            [
                *(("XRANGE", s, "-", "+", "COUNT", 1) for s in (*streams, self._key(k, "results"))),
                *(("XLEN", s) for s in streams),
                ("XLEN", self._key(k, "results")),
                ("XLEN", self._key(k, "buried")),
                ("HMGET", self._key(k, "bytes"), *PRIORITIES, "refused"),
                ("HMGET", self._key(k, "writer"), "owner", "until"),
                ("HGET", self._key(k, "gates"), EVERY_RUN),
                ("TIME",),
            ]
        )
        *frames, result = found[: len(streams) + 1]
        *lengths, results, buried, held, writer, shut, clock = found[len(streams) + 1 :]
        now = int(clock[0]) + int(clock[1]) / 1e6
        owner = text(writer[0] or b"")
        alive = bool(owner) and int(writer[1] or 0) > 1000 * int(clock[0])
        return ShardState(
            shard=k,
            waiting=dict(zip(PRIORITIES, lengths, strict=True)),
            pending=sum(self._pending_count(s) for s in streams),
            results=results,
            buried=buried,
            oldest_s={
                "frames": max(_age_s(s, now) for s in frames),
                "results": _age_s(result, now),
            },
            held_bytes={p: int(b or 0) for p, b in zip(PRIORITIES, held[:-1], strict=True)},
            refused_bytes=int(held[-1] or 0),
            writer=owner,
            writer_alive=alive,
            drained_at=time_of(shut),
        )

    def _pending_count(self, stream: str) -> int:
        try:
            summary = self._server.command("XPENDING", stream, GROUP)
        except NoSuchGroup:
            return 0
        return int(summary[0])

    def memory_bytes(self) -> tuple[int, int]:
        """What the server uses, and what it may use; 0 where nothing limits it."""
        facts = self._server.facts("memory")
        return int(facts["used_memory"]), int(facts["maxmemory"])

    def dead_letters(self, shard: int) -> list[bytes]:
        """See ViewerBroker."""
        stream = self._key(shard, "results")
        items = self._server.command("XRANGE", stream, "-", "+")
        keys = [r.keys[-1] for r in (result_from(stream, it) for it in items) if r.has_letters]
        waiting = [x for letters in _readable(unpack, self._values(keys)) for x in letters]
        return waiting + [letter for _, letter in self._buried(shard)]

    def _buried(self, shard: int) -> list[tuple[str, bytes]]:
        items = self._server.command("XRANGE", self._key(shard, "buried"), "-", "+")
        return [(text(entry_id), as_dict(fields).get(b"b", b"")) for entry_id, fields in items]

    def notices(self, shard: int) -> list[bytes]:
        """See ViewerBroker."""
        return list(self._server.command("LRANGE", self._key(shard, "notices"), 0, -1))

    def known_model(self, shard: int, sha256: str) -> bytes | None:
        """See ViewerBroker."""
        record: bytes | None = self._server.command("HGET", self._key(shard, "models"), sha256)
        return record

    def results_end(self, shard: int) -> str:
        """See ViewerBroker."""
        try:
            facts = self._server.command("XINFO", "STREAM", self._key(shard, "results"))
        except NoSuchGroup:
            return "0-0"
        return text(as_dict(facts)[b"last-generated-id"])

    def follow(self, shard: int, after: str, *, block_s: float) -> list[ResultEntry]:
        """See ViewerBroker."""
        found = self._results(shard, after, block_s)
        values = self._values([r.keys[0] for r in found])
        return [
            replace(r, payload=value)
            for r, value in zip(found, values, strict=True)
            if value is not None
        ]


def worker_from(packed: bytes) -> WorkerState:
    """A worker's last word; BadMessage for what is none."""
    try:
        return msgspec.convert(msgspec.msgpack.decode(packed), WorkerState)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"the word of a worker is none: {error}") from None


def shadow_from(packed: bytes) -> ShadowCount:
    """Counts of a shadow; BadMessage for what is none."""
    try:
        count = msgspec.json.decode(packed, type=ShadowCount)
        _ = count.median_percent
    except (msgspec.DecodeError, ValueError, OverflowError, IndexError, RecursionError) as error:
        raise BadMessage(f"the counts of a shadow are none: {error}") from None
    return count


def _readable(read: Callable[[Any], _T], values: Iterable[Any]) -> list[_T]:
    """What can be read of it: workers write these by hand, and who looks is not to suffer."""
    found = []
    for value in values:
        with suppress(BadMessage):
            found.append(read(value))
    return found


def _age_s(first: Any, now: float) -> float:
    """How old the first entry of a stream is, by the server's own clock; 0 where there is none."""
    return max(0.0, now - int(text(first[0][0]).split("-")[0]) / 1000) if first else 0.0
