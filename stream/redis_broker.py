"""The broker on Redis 7 or Valkey: streams for blocks, one Lua script for each promise.

All keys of a shard carry its hash tag, so that a script can touch the whole of a run and a cluster
can spread the shards:

    {es:K}:frames:live, :frames:bulk   where blocks of frames are, consumer group "workers"
    {es:K}:results                     where what became of them is, until it is on disk
    {es:K}:f:ID, {es:K}:r:ID           the blocks and results themselves (record 13)
    {es:K}:dead                        dead letters
    {es:K}:runs, :open, :run:NAME      names of all runs and of unfinished ones, their records
    {es:K}:bytes                       bytes accepted and not on disk, by priority
    {es:K}:models                      records of models, by SHA-256
    {es:K}:writer                      the writer's lease
    {es:K}:workers                     workers' last words (shard 0 only)
    {es:K}:shadows                     how far shadows are from what was served (shard 0 only)
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from typing import Any

import msgspec

from stream.broker import (
    BURIED_BYTES,
    ENOUGH_BYTES,
    NOTICES,
    PRIORITIES,
    Completion,
    Entry,
    Lease,
    Opened,
    ResultEntry,
    RunState,
    UnpublishedModel,
    WorkerState,
)
from stream.codec import pack
from stream.messages import RunSpec, check_run_name
from stream.redis_answers import (
    GROUP,
    as_dict,
    check_answer,
    check_lease,
    completion_args,
    located,
    text,
    with_values,
)
from stream.redis_connection import Call
from stream.redis_views import RedisViews, worker_from
from stream.refusals import check_priority, refuse_crowd
from stream.scripts import load_missing
from stream.server_connections import Line, NoSuchGroup, Word
from stream.settings import Settings
from stream.shadows import ShadowCount
from xas.errors import BadMessage, Fenced

LIVE_READS = 100  # without a live frame, after which bulk is read in whole batches again
CLAIMED_ENTRIES = 16
MAX_ENTRIES = 256  # of one read, and of one completion
RESULT_BYTES = 2**24  # of one read by the writer, but always one entry
LETTERS_KEY, RESULT_KEY = 4, 6  # of a completion's keys
SHADOWS_KEPT = 4096  # counts of so many runs; further ones are added up under no name
SHADOW_S = 30 * 86400
AHEAD_S = 60  # what came ahead of a script that never ran is forgotten after this


class RedisBroker(RedisViews):
    """See ``stream.broker`` for what each call promises."""

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        super().__init__(url, settings)
        self._name, self._numbers = uuid.uuid4().hex, count()
        self._reads_since_live = LIVE_READS
        self._entry_bytes = dict.fromkeys(PRIORITIES, ENOUGH_BYTES)

    def _new_key(self, run: str, kind: str) -> str:
        """Where one block or result may lie; no other broker ever names the same."""
        number = f"{self._name}-{next(self._numbers)}"
        return self._key(self.settings.shard_of(run), kind, number)

    def _frame_streams(self, priority: str) -> list[str]:
        return [self._key(k, "frames", priority) for k in range(self.settings.shards)]

    # -- producer ---------------------------------------------------------------------------------

    def open_run(self, run: str, spec: RunSpec, *, run_id: str, resume: bool) -> Opened:
        """See ProducerBroker."""
        check_run_name(run)
        check_priority(spec.priority)
        answer = self._server.call(
            "open_run",
            self._keys_of(run, "runs", "open"),
            run,
            msgspec.msgpack.encode(spec),
            run_id,
            int(resume),
            spec.priority,
        )
        if answer[0] == b"differs":
            msgspec.msgpack.decode(answer[1], type=RunSpec).require_same(run, spec)
        check_answer(run, answer)
        return Opened(
            run=run,
            priority=spec.priority,
            epoch=int(answer[1]),
            next_index=int(answer[2]),
            watermark=int(answer[3]),
            created=answer[4] == b"1",
        )

    def push(self, opened: Opened, first: int, n_frames: int, payload: bytes) -> int:
        """See ProducerBroker."""
        block = self._new_key(opened.run, "f")
        keys = [*self._keys_of(opened.run, f"frames:{opened.priority}", "bytes"), block]
        mark = self.settings.high_water_bytes
        words = (opened.epoch, first, n_frames, mark, opened.run, opened.priority)
        came = ("SET", block, payload, "EX", AHEAD_S)
        answer = self._server.call("push", keys, *words, ahead=[came])
        while answer[0] == b"lost":
            self._server.command(*came)  # says why, where the server is full
            answer = self._server.call("push", keys, *words)
        check_answer(opened.run, answer)
        return int(answer[1])

    def drop(
        self, opened: Opened, n_frames: int, *, first_s: float = 0.0, last_s: float = 0.0
    ) -> None:
        """See ProducerBroker."""
        words = (opened.epoch, n_frames, first_s, last_s)
        answer = self._server.call("drop", self._keys_of(opened.run), *words)
        check_answer(opened.run, answer)

    def seal(self, opened: Opened, n_frames: int, *, interrupted: bool = False) -> int:
        """See ProducerBroker."""
        keys = self._keys_of(opened.run)
        answer = self._server.call("seal", keys, opened.epoch, int(interrupted), n_frames)
        check_answer(opened.run, answer)
        return int(answer[1])

    # -- worker -----------------------------------------------------------------------------------

    def read(
        self, consumer: str, *, block_s: float, enough_bytes: int = ENOUGH_BYTES
    ) -> list[Entry]:
        """See WorkerBroker."""
        self._reads_since_live += 1
        lives = self._reads_since_live < LIVE_READS
        for priority in PRIORITIES:
            n = min(max(1, enough_bytes // self._entry_bytes[priority]), MAX_ENTRIES)
            if priority == "bulk" and lives:
                # where live frames come, none waits behind more than one block of bulk
                if block_s:
                    break  # which is what waiting takes, in the same round trip
                n = 1
            entries = self._read_group(consumer, [priority], ">", n)
            if entries:
                if priority == "live":
                    self._reads_since_live = 0
                # the next read asks for as many of the same size as are enough
                held = sum(len(e.payload) for e in entries)
                self._entry_bytes[priority] = max(1, held // len(entries))
                return entries
        return self._wait(consumer, block_s) if block_s else []

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

    # -- writer -----------------------------------------------------------------------------------

    def acquire(self, shard: int, owner: str, *, above: int) -> Lease:
        """See WriterBroker."""
        answer = self._lease(shard, owner, "acquire", above)
        if answer[0] == b"held":
            raise Fenced(
                f"shard {shard} is being written by {text(answer[1])}; it is free "
                f"{self.settings.lease_s:g} s after that writer has stopped"
            )
        return Lease(shard=shard, owner=owner, epoch=int(answer[1]))

    def renew(self, lease: Lease) -> None:
        """See WriterBroker."""
        check_lease(lease, self._lease(lease.shard, lease.owner, "renew", lease.epoch))

    def yield_lease(self, lease: Lease) -> None:
        """See WriterBroker."""
        self._lease(lease.shard, lease.owner, "yield", lease.epoch)

    def _lease(self, shard: int, owner: str, verb: str, epoch: int) -> Any:
        milliseconds = int(1000 * self.settings.lease_s)
        answer = self._server.call(
            "lease", [self._key(shard, "writer")], owner, milliseconds, verb, epoch
        )
        load_missing(self._server)  # also for those who may not, after a restart of the server
        return answer

    def results(self, lease: Lease, after: str, *, block_s: float) -> list[ResultEntry]:
        """See WriterBroker."""
        found = self._results(lease.shard, after, block_s)
        while len(found) > 1 and sum(r.held_bytes for r in found) > RESULT_BYTES:
            del found[-(len(found) // 2) :]
        values = iter(self._values([key for r in found for key in r.keys]))
        return [with_values(r, [next(values) for _ in r.keys]) for r in found]

    def model(self, lease: Lease, sha256: str) -> bytes | None:
        """See WriterBroker."""
        return self.known_model(lease.shard, sha256)

    def adopt(
        self, lease: Lease, run: str, *, n_frames: int, run_id: str, file: str, host: str
    ) -> None:
        """See WriterBroker."""
        self._as_writer("adopt", lease, run, n_frames, run_id, file, host)

    def refuse(self, lease: Lease, run: str, reason: str) -> None:
        """See WriterBroker."""
        self._as_writer("mark_run", lease, run, "refusal", reason)

    def finish(self, lease: Lease, run: str) -> bool:
        """See WriterBroker."""
        keys = [self._key(lease.shard, "writer"), *self._keys_of(run, "open")]
        answer = self._server.call("finish", keys, lease.epoch, run)
        check_lease(lease, answer)
        return bool(answer[0] == b"ok")

    def open_runs(self, lease: Lease) -> list[RunState]:
        """See WriterBroker."""
        return self._states(self._key(lease.shard, "open"))

    def commit(
        self, lease: Lease, run: str, watermark: int, entries: Sequence[ResultEntry]
    ) -> None:
        """See WriterBroker."""
        writer = self._key(lease.shard, "writer")
        run_key, results, held = self._keys_of(run, "results", "bytes")
        released = [word for e in entries for word in (e.id, e.held_bytes)]
        keys = [writer, results, run_key, held, *(key for e in entries for key in e.keys)]
        answer = self._server.call("commit", keys, lease.epoch, watermark, *released)
        check_lease(lease, answer)

    def settle(self, lease: Lease, entries: Sequence[ResultEntry]) -> None:
        """See WriterBroker."""
        keys = [self._key(lease.shard, name) for name in ("writer", "results", "bytes")]
        released = [word for e in entries for word in (e.id, e.held_bytes)]
        keys += [key for e in entries for key in e.keys]
        check_lease(lease, self._server.call("settle", keys, lease.epoch, *released))

    def count_dead(self, lease: Lease, run: str, n: int) -> None:
        """See WriterBroker."""
        self._as_writer("mark_run", lease, run, "dead", n)

    def note_dead(self, lease: Lease, notices: Sequence[bytes]) -> None:
        """See WriterBroker."""
        keys = [self._key(lease.shard, name) for name in ("writer", "notices")]
        latest = notices[-NOTICES:]
        check_lease(lease, self._server.call("note_dead", keys, lease.epoch, NOTICES, *latest))

    def buried(self, lease: Lease) -> list[tuple[str, bytes]]:
        """See WriterBroker."""
        return self._buried(lease.shard)

    def unbury(self, lease: Lease, ids: Sequence[str]) -> None:
        """See WriterBroker."""
        keys = [self._key(lease.shard, name) for name in ("writer", "buried", "bytes")]
        check_lease(lease, self._server.call("unbury", keys, lease.epoch, *ids))

    # -- operator ---------------------------------------------------------------------------------

    def requeue(self, run: str, first: int, n_frames: int, payload: bytes) -> None:
        """See OperatorBroker."""
        block = self._new_key(check_run_name(run), "f")
        keys = [*self._keys_of(run, "frames:bulk", "bytes")[1:], block]
        words = (run, first, n_frames, self.settings.high_water_bytes)
        came = ("SET", block, payload, "EX", AHEAD_S)
        answer = self._server.call("requeue", keys, *words, ahead=[came])
        while answer[0] == b"lost":
            self._server.command(*came)  # says why, where the server is full
            answer = self._server.call("requeue", keys, *words)
        if answer[0] == b"full":
            refuse_crowd(int(answer[1]))

    def _as_writer(self, script: str, lease: Lease, run: str, *args: Word) -> None:
        keys = [self._key(lease.shard, "writer"), *self._keys_of(run)]
        check_lease(lease, self._server.call(script, keys, lease.epoch, *args))


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
