"""The broker on Redis 7 or Valkey: streams for blocks, one Lua script for each promise.

All keys of a shard carry its hash tag, so that a script can touch the whole of a run and a cluster
can spread the shards:

    {es:K}:frames:live, :frames:bulk   blocks of frames, consumer group "workers"
    {es:K}:results                     what became of them, until the writer has it on disk
    {es:K}:dead                        dead letters
    {es:K}:runs, :open, :run:NAME      names of all runs and of unfinished ones, their records
    {es:K}:bytes                       bytes accepted and not on disk, by priority
    {es:K}:models                      records of models, by SHA-256
    {es:K}:writer                      the writer's lease
    {es:K}:workers                     workers' last words (shard 0 only)
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from stream.broker import (
    PRIORITIES,
    Completion,
    Entry,
    Lease,
    Opened,
    ResultEntry,
    RunState,
    ShardState,
    UnpublishedModel,
    WorkerState,
)
from stream.messages import RunSpec, check_run_name
from stream.redis_answers import (
    GROUP,
    RUN_FIELDS,
    check_answer,
    check_lease,
    completion_args,
    entry_from,
    result_from,
    run_state_from,
    text,
)
from stream.redis_connection import NoSuchGroup, RedisConnection
from stream.refusals import check_priority
from stream.settings import Settings
from xas.errors import Fenced

READ_ENTRIES = {"live": 64, "bulk": 4}
RESULT_ENTRIES = 128


class RedisBroker:
    """See ``stream.broker`` for what each call promises."""

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._server = RedisConnection(url)

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
        answer = self._server.call(
            "push",
            self._keys_of(opened.run, f"frames:{opened.priority}", "bytes"),
            opened.epoch,
            first,
            n_frames,
            payload,
            self.settings.high_water_bytes,
            opened.run,
            opened.priority,
        )
        check_answer(opened.run, answer)
        return int(answer[1])

    def drop(self, opened: Opened, n_frames: int) -> None:
        """See ProducerBroker."""
        answer = self._server.call("drop", self._keys_of(opened.run), opened.epoch, n_frames)
        check_answer(opened.run, answer)

    def seal(self, opened: Opened, n_frames: int, *, interrupted: bool = False) -> int:
        """See ProducerBroker."""
        keys = self._keys_of(opened.run)
        answer = self._server.call("seal", keys, opened.epoch, int(interrupted), n_frames)
        check_answer(opened.run, answer)
        return int(answer[1])

    # -- worker -----------------------------------------------------------------------------------

    def read(self, consumer: str, *, block_s: float) -> list[Entry]:
        """See WorkerBroker."""
        for priority in PRIORITIES:
            entries = self._read_group(consumer, [priority], ">", block_s=None)
            if entries:
                return entries
        return self._read_group(consumer, PRIORITIES, ">", block_s=block_s) if block_s else []

    def pending(self, consumer: str) -> list[Entry]:
        """See WorkerBroker."""
        return self._read_group(consumer, PRIORITIES, "0", block_s=None)

    def _read_group(
        self, consumer: str, priorities: Sequence[str], after: str, *, block_s: float | None
    ) -> list[Entry]:
        streams = [s for priority in priorities for s in self._frame_streams(priority)]
        count = min(READ_ENTRIES[priority] for priority in priorities)
        words = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count]
        if block_s is not None:
            words += ["BLOCK", max(1, int(1000 * block_s))]
        words += ["STREAMS", *streams, *([after] * len(streams))]
        try:
            answer = self._server.command(*words)
        except NoSuchGroup:
            self._create_groups()
            return self._read_group(consumer, priorities, after, block_s=block_s)
        return [entry_from(stream, item) for stream, items in answer or () for item in items]

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
                claimed += self._claim_stream(stream, consumer, idle_ms, READ_ENTRIES[priority])
        return claimed

    def _claim_stream(self, stream: str, consumer: str, idle_ms: int, count: int) -> list[Entry]:
        cursor: Any = "0-0"
        try:
            while True:
                cursor, items, *_ = self._server.command(
                    "XAUTOCLAIM", stream, GROUP, consumer, idle_ms, cursor, "COUNT", count
                )
                if items or text(cursor) == "0-0":
                    break
        except NoSuchGroup:
            self._create_groups()
            return []
        # claiming counts as a delivery: whoever had it before did not finish it
        return [entry_from(stream.encode(), item, deliveries=2) for item in items if item[1]]

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
        del consumer  # whoever brings a completion first, counts
        calls = [(self._completion_keys(c.entry), completion_args(c)) for c in completions]
        answers = self._server.calls("complete", calls)
        if b"MODEL" in answers:
            raise UnpublishedModel
        return [answer == 1 for answer in answers]

    def _completion_keys(self, entry: Entry) -> list[str]:
        run, *others = self._keys_of(entry.run, "results", "bytes", "dead", "models")
        return [entry.stream, others[0], run, *others[1:]]

    def publish_model(self, sha256: str, record: bytes) -> None:
        """See WorkerBroker."""
        shards = range(self.settings.shards)
        self._server.calls("put", [([self._key(k, "models")], (sha256, record)) for k in shards])

    def bury(self, consumer: str, entry: Entry, dead: bytes) -> None:
        """See WorkerBroker."""
        del consumer
        keys = [entry.stream, entry.stream.split(":frames")[0] + ":dead"]
        self._server.call("bury", keys, GROUP, entry.id, dead)

    def report(self, state: WorkerState) -> None:
        """See WorkerBroker."""
        packed = msgspec.msgpack.encode(asdict(state))
        self._server.call("put", [self._key(0, "workers")], state.name, packed)

    def leave(self, consumer: str) -> None:
        """See WorkerBroker."""
        streams = [s for priority in PRIORITIES for s in self._frame_streams(priority)]
        with contextlib.suppress(NoSuchGroup):
            self._server.calls("leave", [([s], (GROUP, consumer)) for s in streams])
        self._server.command("HDEL", self._key(0, "workers"), consumer)

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
        return self._server.call(
            "lease", [self._key(shard, "writer")], owner, milliseconds, verb, epoch
        )

    def results(self, lease: Lease, after: str, *, block_s: float) -> list[ResultEntry]:
        """See WriterBroker."""
        words = ["XREAD", "COUNT", RESULT_ENTRIES]
        if block_s:
            words += ["BLOCK", max(1, int(1000 * block_s))]
        stream = self._key(lease.shard, "results")
        answer = self._server.command(*words, "STREAMS", stream, after)
        return [result_from(item) for _, items in answer or () for item in items]

    def model(self, lease: Lease, sha256: str) -> bytes | None:
        """See WriterBroker."""
        record: bytes | None = self._server.command(
            "HGET", self._key(lease.shard, "models"), sha256
        )
        return record

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
        answer = self._server.call(
            "commit", [writer, results, run_key, held], lease.epoch, watermark, *released
        )
        check_lease(lease, answer)

    def _as_writer(self, script: str, lease: Lease, run: str, *args: object) -> None:
        keys = [self._key(lease.shard, "writer"), *self._keys_of(run)]
        check_lease(lease, self._server.call(script, keys, lease.epoch, *args))

    # -- viewer -----------------------------------------------------------------------------------

    def runs(self) -> list[RunState]:
        """See ViewerBroker."""
        return [s for k in range(self.settings.shards) for s in self._states(self._key(k, "runs"))]

    def _states(self, names_key: str) -> list[RunState]:
        names = sorted(map(text, self._server.command("SMEMBERS", names_key)))
        answers = self._server.commands(
            [("HMGET", self._keys_of(name)[0], *RUN_FIELDS) for name in names]
        )
        return [
            run_state_from(n, a) for n, a in zip(names, answers, strict=True) if a[0] is not None
        ]

    def run(self, run: str) -> RunState | None:
        """See ViewerBroker."""
        answer = self._server.command("HMGET", self._keys_of(run)[0], *RUN_FIELDS)
        return None if answer[0] is None else run_state_from(run, answer)

    def workers(self) -> list[WorkerState]:
        """See ViewerBroker."""
        answer = self._server.command("HVALS", self._key(0, "workers"))
        seconds, micros = self._server.command("TIME")
        now = int(seconds) + int(micros) / 1e6
        states = [msgspec.convert(msgspec.msgpack.decode(v), WorkerState) for v in answer]
        alive = [w for w in states if now - w.seen_at < self.settings.worker_silence_s]
        return sorted(alive, key=lambda w: w.name)

    def shards(self) -> list[ShardState]:
        """See ViewerBroker."""
        return [self._shard(k) for k in range(self.settings.shards)]

    def _shard(self, k: int) -> ShardState:
        streams = [self._key(k, "frames", p) for p in PRIORITIES]
        *lengths, results, dead, held, writer, clock = self._server.commands(
            [
                *(("XLEN", s) for s in streams),
                ("XLEN", self._key(k, "results")),
                ("XLEN", self._key(k, "dead")),
                ("HMGET", self._key(k, "bytes"), *PRIORITIES),
                ("HMGET", self._key(k, "writer"), "owner", "until"),
                ("TIME",),
            ]
        )
        owner = text(writer[0] or b"")
        alive = bool(owner) and int(writer[1] or 0) > 1000 * int(clock[0])
        return ShardState(
            shard=k,
            waiting=dict(zip(PRIORITIES, lengths, strict=True)),
            pending=sum(self._pending_count(s) for s in streams),
            results=results,
            dead=dead,
            held_bytes={p: int(b or 0) for p, b in zip(PRIORITIES, held, strict=True)},
            writer=owner,
            writer_alive=alive,
        )

    def _pending_count(self, stream: str) -> int:
        try:
            summary = self._server.command("XPENDING", stream, GROUP)
        except NoSuchGroup:
            return 0
        return int(summary["pending"] if isinstance(summary, dict) else summary[0])

    def dead_letters(self, shard: int) -> list[bytes]:
        """See ViewerBroker."""
        items = self._server.command("XRANGE", self._key(shard, "dead"), "-", "+")
        return [fields[b"b"] for _, fields in items]
