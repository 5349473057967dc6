"""What a worker may do on Redis 7 or Valkey."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from stream.broker import (
    BURIED_BYTES,
    ENOUGH_BYTES,
    PRIORITIES,
    Completion,
    Entry,
    UnpublishedModel,
    WorkerState,
)
from stream.codec import pack
from stream.redis_answers import GROUP, as_dict, completion_args, located, text
from stream.redis_connection import Call
from stream.redis_views import AHEAD_S, RedisViews, worker_from
from stream.server_connections import Line, NoSuchGroup, Word
from stream.settings import Settings
from stream.shadows import ShadowCount
from xas.errors import BadMessage

LIVE_READS = 100  # without a live frame, after which bulk is read in whole batches again
CLAIMED_ENTRIES = 16
MAX_ENTRIES = 256  # of one read, and of one completion
LETTERS_KEY, RESULT_KEY = 4, 6  # of a completion's keys
SHADOWS_KEPT = 4096  # counts of so many runs; further ones are added up under no name
SHADOW_S = 30 * 86400


class RedisWorkers(RedisViews):
    """See ``stream.broker.WorkerBroker`` for what each call promises."""

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        super().__init__(url, settings)
        self._reads_since_live = LIVE_READS
        self._entry_bytes = dict.fromkeys(PRIORITIES, ENOUGH_BYTES)

    def _frame_streams(self, priority: str) -> list[str]:
        return [self._key(k, "frames", priority) for k in range(self.settings.shards)]

    def read(
        self, consumer: str, *, block_s: float, enough_bytes: int = ENOUGH_BYTES
    ) -> list[Entry]:
        """See WorkerBroker."""
        self._reads_since_live += 1
        lives = self._reads_since_live < LIVE_READS
        if entries := self.read_live(consumer, enough_bytes=enough_bytes):
            return entries
        # where live frames come, none waits behind more than one block of bulk
        if lives and block_s:
            return self._wait(consumer, block_s)  # which takes one, in the same round trip
        if entries := self._read_some(consumer, "bulk", 0 if lives else enough_bytes):
            return entries
        return self._wait(consumer, block_s) if block_s else []

    def read_live(self, consumer: str, *, enough_bytes: int = ENOUGH_BYTES) -> list[Entry]:
        """See WorkerBroker."""
        entries = self._read_some(consumer, "live", enough_bytes)
        if entries:
            self._reads_since_live = 0
        return entries

    def _read_some(self, consumer: str, priority: str, enough_bytes: int) -> list[Entry]:
        """New entries of one priority, which may be one; at once."""
        n = min(max(1, enough_bytes // self._entry_bytes[priority]), MAX_ENTRIES)
        entries = self._read_group(consumer, [priority], ">", n)
        if entries:
            # the next read asks for as many of the same size as are enough
            held = sum(len(e.payload) for e in entries)
            self._entry_bytes[priority] = max(1, held // len(entries))
        return entries

    def _wait(self, consumer: str, block_s: float) -> list[Entry]:
        entries = self._read_group(consumer, PRIORITIES, ">", 1, block_s)
        if any(e.stream in self._frame_streams("live") for e in entries):
            self._reads_since_live = 0
        return entries

    def pending(self, consumer: str) -> list[Entry]:
        """See WorkerBroker."""
        return self._read_group(consumer, PRIORITIES, "0", MAX_ENTRIES)

    def _read_group(
        self,
        consumer: str,
        priorities: Sequence[str],
        after: str,
        n_entries: int,
        block_s: float | None = None,
    ) -> list[Entry]:
        streams = [s for priority in priorities for s in self._frame_streams(priority)]
        words: list[Word] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", n_entries]
        if block_s is not None:
            words += ["BLOCK", max(1, int(1000 * block_s))]
        words += ["STREAMS", *streams, *([after] * len(streams))]
        try:
            answer = self._server.command(*words)
        except NoSuchGroup:
            self._create_groups()
            return self._read_group(consumer, priorities, after, n_entries, block_s)
        return [e for stream, items in answer or () for e in self._entries(text(stream), items)]

    def _entries(self, stream: str, items: Sequence[Any], deliveries: int = 1) -> list[Entry]:
        """Entries with their payloads, which are asked for together."""
        found = [located(stream, item) for item in items]
        payloads = iter(self._values([f.key for f in found if f.key]))
        return [f.entry(stream, next(payloads) if f.key else None, deliveries) for f in found]

    def _create_groups(self) -> None:
        for priority in PRIORITIES:
            for stream in self._frame_streams(priority):
                self._server.create_group(stream, GROUP)

    def claim(self, consumer: str) -> list[Entry]:
        """See WorkerBroker."""
        idle_ms = int(1000 * self.settings.claim_idle_s)
        claimed: list[Entry] = []
        for priority in PRIORITIES:
            for stream in self._frame_streams(priority):
                claimed += self._claim_stream(stream, consumer, idle_ms)
        return claimed

    def _claim_stream(self, stream: str, consumer: str, idle_ms: int) -> list[Entry]:
        cursor: Any = "0-0"
        try:
            while True:
                cursor, items, *_ = self._server.command(
                    "XAUTOCLAIM", stream, GROUP, consumer, idle_ms, cursor, "COUNT", CLAIMED_ENTRIES
                )
                if items or text(cursor) == "0-0":
                    break
        except NoSuchGroup:
            self._create_groups()
            return []
        # claiming counts as a delivery: whoever had it before did not finish it
        return self._entries(stream, [item for item in items if item[1]], deliveries=2)

    def heartbeat(self, consumer: str, entries: Sequence[Entry]) -> None:
        """See WorkerBroker."""
        self._hold(consumer, entries, idle_ms=0)

    def release(self, consumer: str, entries: Sequence[Entry]) -> None:
        """See WorkerBroker."""
        self._hold(consumer, entries, idle_ms=int(1000 * self.settings.claim_idle_s) + 1)

    def _hold(self, consumer: str, entries: Sequence[Entry], *, idle_ms: int) -> None:
        with contextlib.suppress(NoSuchGroup):  # a server that forgot them
            self._server.calls(
                "hold", [([e.stream], (GROUP, consumer, idle_ms, e.id)) for e in entries]
            )

    def complete(self, consumer: str, completions: Sequence[Completion]) -> list[bool]:
        """See WorkerBroker."""
        calls = [self._completion_call(consumer, c) for c in completions]
        values = [_values_ahead(call[0], c) for call, c in zip(calls, completions, strict=True)]
        came: list[Line] = [("SET", *value, "EX", AHEAD_S) for some in values for value in some]
        answers = self._server.calls("complete", calls, ahead=came)
        while lost := [i for i, answer in enumerate(answers) if answer == b"LOST"]:
            # the server is full, and would not take them: a script may
            kept = [([key], (value, AHEAD_S)) for i in lost for key, value in values[i]]
            self._server.calls("keep", kept)
            again = self._server.calls("complete", [calls[i] for i in lost])
            for i, answer in zip(lost, again, strict=True):
                answers[i] = answer
        if b"MODEL" in answers:
            raise UnpublishedModel
        return [answer == 1 for answer in answers]

    def _completion_call(self, consumer: str, c: Completion) -> Call:
        entry = c.entries[0]
        run, results, held, models = self._keys_of(entry.run, "results", "bytes", "models")
        letters, result = self._new_key(entry.run, "d"), self._new_key(entry.run, "r")
        keys = [entry.stream, results, run, held, letters, models, result]
        return [*keys, *(e.key for e in c.entries)], completion_args(consumer, c)

    def publish_model(self, sha256: str, record: bytes) -> None:
        """See WorkerBroker."""
        shards = range(self.settings.shards)
        self._server.calls(
            "publish", [([self._key(k, "models")], (sha256, record)) for k in shards]
        )

    def begin_run(self, run: str, sha256: str) -> bytes | None:
        """See WorkerBroker."""
        answer: bytes | None = self._server.call("begin_run", self._keys_of(run, "models"), sha256)
        return answer

    def count_shadow(self, count: ShadowCount) -> None:
        """See WorkerBroker."""
        fields = [f"{run} {count.served} {count.shadow}" for run in (count.run, "")]
        packed = msgspec.json.encode(count)
        words = (fields[0], packed, fields[1], SHADOWS_KEPT, SHADOW_S)
        self._server.call("count_shadow", [self._key(0, "shadows")], *words)

    def bury(self, consumer: str, entry: Entry, dead: bytes) -> None:
        """See WorkerBroker."""
        del consumer
        shard = entry.stream.split(":frames")[0]
        keys = [entry.stream, f"{shard}:buried", f"{shard}:bytes"]
        keys += [entry.key] if entry.key else []
        self._server.call("bury", keys, GROUP, entry.id, dead, BURIED_BYTES)

    def report(self, state: WorkerState) -> None:
        """See WorkerBroker."""
        packed = msgspec.msgpack.encode(asdict(state))
        self._server.call("put", [self._key(0, "workers")], state.name, packed)

    def leave(self, consumer: str) -> None:
        """See WorkerBroker."""
        self._leave(consumer)

    def _leave(self, consumer: str | bytes) -> None:
        streams = [s for priority in PRIORITIES for s in self._frame_streams(priority)]
        with contextlib.suppress(NoSuchGroup):
            self._server.calls("leave", [([s], (GROUP, consumer)) for s in streams])
        self._server.command("HDEL", self._key(0, "workers"), consumer)

    def forget_silent(self, silent_s: float) -> None:
        """See WorkerBroker."""
        words, (seconds, _) = self._server.commands(
            [("HGETALL", self._key(0, "workers")), ("TIME",)]
        )
        gone = {
            name
            for name, packed in as_dict(words).items()
            if int(seconds) - _last_seen(packed) > silent_s
        }
        for priority in PRIORITIES:
            for stream in self._frame_streams(priority):
                gone |= self._idle_consumers(stream, int(1000 * silent_s))
        for name in sorted(gone):
            self._leave(name)

    def _idle_consumers(self, stream: str, idle_ms: int) -> set[bytes]:
        """Those who have not even asked for so long and hold nothing."""
        try:
            found = [as_dict(c) for c in self._server.command("XINFO", "CONSUMERS", stream, GROUP)]
        except NoSuchGroup:
            return set()
        return {c[b"name"] for c in found if c[b"idle"] > idle_ms and not c[b"pending"]}


def _last_seen(packed: bytes) -> float:
    """When a worker gave its last word; long ago for one that is none."""
    try:
        return worker_from(packed).seen_at
    except BadMessage:
        return 0.0


def _values_ahead(keys: Sequence[str], c: Completion) -> list[tuple[str, bytes]]:
    """What a completion sets ahead of its script: the result, and the dead letters if any."""
    letters = [(keys[LETTERS_KEY], pack(c.dead))] if c.dead else []
    return [(keys[RESULT_KEY], c.result), *letters]
