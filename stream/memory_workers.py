"""What a worker may do in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stream.broker import (
    BURIED_BYTES,
    ENOUGH_BYTES,
    PRIORITIES,
    Completion,
    Entry,
    ResultEntry,
    UnpublishedModel,
    WorkerState,
)
from stream.codec import pack
from stream.memory_shard import Delivery, Stream
from stream.memory_views import MemoryViews
from stream.shadows import ShadowCount


class MemoryWorkers(MemoryViews):
    """See ``stream.broker.WorkerBroker`` for what each call promises."""

    def read(
        self, consumer: str, *, block_s: float, enough_bytes: int = ENOUGH_BYTES
    ) -> list[Entry]:
        """See WorkerBroker."""
        del block_s
        return self.read_live(consumer, enough_bytes=enough_bytes) or self._read_some(
            consumer, "bulk", enough_bytes
        )

    def read_live(self, consumer: str, *, enough_bytes: int = ENOUGH_BYTES) -> list[Entry]:
        """See WorkerBroker."""
        return self._read_some(consumer, "live", enough_bytes)

    def _read_some(self, consumer: str, priority: str, enough_bytes: int) -> list[Entry]:
        taken: list[Entry] = []
        for stream in (shard.frames[priority] for shard in self._shards):
            for i in stream.unread():
                if sum(len(e.payload) for e in taken) >= enough_bytes:
                    return taken
                stream.deliveries[i] = Delivery(consumer, self._clock())
                taken.append(stream.entries[i])
        return taken

    def _streams(self) -> list[Stream]:
        return [shard.frames[p] for p in PRIORITIES for shard in self._shards]

    def pending(self, consumer: str) -> list[Entry]:
        """See WorkerBroker."""
        return [
            stream.entries[i]
            for stream in self._streams()
            for i, d in stream.deliveries.items()
            if d.consumer == consumer
        ]

    def claim(self, consumer: str) -> list[Entry]:
        """See WorkerBroker."""
        claimed = []
        for stream in self._streams():
            for i, delivery in stream.deliveries.items():
                if self._clock() - delivery.at >= self.settings.claim_idle_s:
                    stream.deliveries[i] = Delivery(consumer, self._clock(), delivery.times + 1)
                    claimed.append(replace(stream.entries[i], deliveries=delivery.times + 1))
        return claimed

    def heartbeat(self, consumer: str, entries: Sequence[Entry]) -> None:
        """See WorkerBroker."""
        self._touch(consumer, entries, self._clock())

    def release(self, consumer: str, entries: Sequence[Entry]) -> None:
        """See WorkerBroker."""
        self._touch(consumer, entries, self._clock() - self.settings.claim_idle_s)

    def _touch(self, consumer: str, entries: Sequence[Entry], at: float) -> None:
        for entry in entries:
            delivery = self._stream_of(entry).deliveries.get(int(entry.id))
            if delivery is not None and delivery.consumer == consumer:
                delivery.at = at

    def _stream_of(self, entry: Entry) -> Stream:
        shard, priority = entry.stream.split(":")
        return self._shards[int(shard)].frames[priority]

    def complete(self, consumer: str, completions: Sequence[Completion]) -> list[bool]:
        """See WorkerBroker."""
        for c in completions:
            if c.model and c.model not in self._shard_of(c.entries[0].run).models:
                raise UnpublishedModel
        return [self._complete(consumer, c) for c in completions]

    def _complete(self, consumer: str, c: Completion) -> bool:
        first, shard = c.entries[0], self._shard_of(c.entries[0].run)
        if len(c.entries) > 1 and not all(self._is_held(consumer, e) for e in c.entries):
            return False
        known = [self._forget(e) for e in c.entries]
        if not all(known):
            return False
        grown = len(c.result) + (len(pack(c.dead)) if c.dead else 0)
        number = next(self._ids)
        shard.since[number] = self._clock()
        shard.results[number] = ResultEntry(
            id=str(number),
            run=first.run,
            first=first.first,
            n_frames=sum(e.n_frames for e in c.entries),
            payload=c.result,
            held_bytes=grown + sum(len(e.payload) for e in c.entries),
            frames=[e.payload for e in c.entries],
            letters=c.dead,
            again=first.again,
            has_letters=bool(c.dead),
        )
        shard.last_result = str(number)
        if first.again:
            shard.held["bulk"] += grown
            return True
        if first.run not in shard.runs:
            return True
        self._hold(first.run, grown - sum(e.reserved for e in c.entries))
        self._learn(first.run, grown, sum(len(e.payload) for e in c.entries))
        self._update(first.run, dead=shard.runs[first.run].dead + c.n_dead)
        return True

    def _learn(self, run: str, grown: int, size: int) -> None:
        """How much results there are for frames of the run: the most of late."""
        if size:
            growth = self._shard_of(run).growth
            seen, known = -(-1000 * grown // size), growth[run]
            growth[run] = max(seen, known + (seen - known) // 8)

    def _is_held(self, consumer: str, entry: Entry) -> bool:
        delivery = self._stream_of(entry).deliveries.get(int(entry.id))
        return delivery is not None and delivery.consumer == consumer

    def _forget(self, entry: Entry) -> bool:
        stream, number = self._stream_of(entry), int(entry.id)
        stream.entries.pop(number, None)
        return stream.deliveries.pop(number, None) is not None

    def publish_model(self, sha256: str, record: bytes) -> None:
        """See WorkerBroker."""
        for shard in self._shards:
            shard.models.setdefault(sha256, record)

    def begin_run(self, run: str, sha256: str) -> bytes | None:
        """See WorkerBroker."""
        shard = self._shard_of(run)
        if run in shard.runs:
            return shard.models.get(shard.began.setdefault(run, sha256))
        return None

    def count_shadow(self, count: ShadowCount) -> None:
        """See WorkerBroker."""
        key = (count.run, count.served, count.shadow)
        known = self._shadows.get(key)
        self._shadows[key] = known.plus(count) if known else count

    def bury(self, consumer: str, entry: Entry, dead: bytes) -> None:
        """See WorkerBroker."""
        del consumer
        buried = self._shards[int(entry.stream.split(":")[0])].buried
        if self._forget(entry):
            buried[next(self._ids)] = dead
        while sum(map(len, buried.values())) > BURIED_BYTES:
            del buried[min(buried)]

    def report(self, state: WorkerState) -> None:
        """See WorkerBroker."""
        self._workers[state.name] = state

    def leave(self, consumer: str) -> None:
        """See WorkerBroker."""
        self._workers.pop(consumer, None)

    def forget_silent(self, silent_s: float) -> None:
        """See WorkerBroker."""
        for name, state in list(self._workers.items()):
            if self._clock() - state.seen_at > silent_s:
                self.leave(name)
