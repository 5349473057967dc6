"""The broker in memory: the same contract in one process, with a clock of the caller's.

For tests, notebooks and embedding; nothing survives the process. Calls never wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

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
    ShardState,
    UnpublishedModel,
    WorkerState,
)
from stream.codec import pack
from stream.memory_shard import Delivery, Shard, Stream, new_run
from stream.messages import RunSpec, check_run_name
from stream.refusals import (
    check_priority,
    refuse_by_writer,
    refuse_crowd,
    refuse_existing,
    refuse_fenced,
    refuse_full,
    refuse_sealed,
    refuse_unknown,
)
from stream.settings import Settings
from stream.shadows import ShadowCount
from xas.errors import Fenced, Stop


class MemoryBroker:
    """See ``stream.broker`` for what each call promises."""

    def __init__(
        self, settings: Settings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or Settings()
        self._clock = clock
        self._ids = count(1)
        self._shards = [Shard() for _ in range(self.settings.shards)]
        self._workers: dict[str, WorkerState] = {}
        self._shadows: dict[tuple[str, str, str], ShadowCount] = {}

    def close(self) -> None:
        """Nothing to let go of."""

    def _shard_of(self, run: str) -> Shard:
        return self._shards[self.settings.shard_of(run)]

    def _update(self, run: str, **changes: object) -> None:
        runs = self._shard_of(run).runs
        runs[run] = replace(runs[run], **changes)  # type: ignore[arg-type]

    # -- producer ---------------------------------------------------------------------------------

    def open_run(self, run: str, spec: RunSpec, *, run_id: str, resume: bool) -> Opened:
        """See ProducerBroker."""
        check_run_name(run)
        check_priority(spec.priority)
        shard = self._shard_of(run)
        created = run not in shard.runs
        if created:
            shard.runs[run] = new_run(run, spec, run_id, self._clock())
        state = shard.runs[run]
        if state.sealed is not None and not (state.interrupted and resume):
            refuse_sealed(run, state.sealed)
        state.spec.require_same(run, spec)
        if state.next_index and not resume and state.run_id != run_id:
            refuse_existing(run, state.next_index)
        self._update(
            run,
            epoch=max(state.epoch + 1, int(1000 * self._clock())),
            sealed=None,
            interrupted=False,
            finished=False,
            refusal="",
            resumed=state.resumed or resume,
        )
        state = shard.runs[run]
        return Opened(
            run=run,
            priority=spec.priority,
            epoch=state.epoch,
            next_index=state.next_index,
            watermark=state.watermark,
            created=created,
        )

    def _opened(self, opened: Opened) -> RunState:
        """The run, if the producer's hold on it is good."""
        state = self._shard_of(opened.run).runs.get(opened.run)
        if state is None:
            refuse_unknown(opened.run)
        if state.epoch != opened.epoch:
            refuse_fenced(opened.run)
        if state.refusal:
            refuse_by_writer(opened.run, state.refusal)
        return state

    def push(self, opened: Opened, first: int, n_frames: int, payload: bytes) -> int:
        """See ProducerBroker."""
        state, shard = self._opened(opened), self._shard_of(opened.run)
        if state.sealed is not None:
            refuse_sealed(opened.run, state.sealed)
        if first != state.next_index:
            return state.next_index
        mark, size = self.settings.high_water_bytes, len(payload)
        shared = shard.held[opened.priority]
        if (state.held_bytes and state.held_bytes + size > mark) or (
            shared and shared + size > 4 * mark
        ):
            refuse_full(opened.run, state.held_bytes)
        self._enter(opened.priority, opened.run, first, n_frames, payload)
        self._hold(opened.run, size)
        self._update(opened.run, next_index=first + n_frames)
        return first + n_frames

    def _enter(
        self, priority: str, run: str, first: int, n: int, payload: bytes, *, again: bool = False
    ) -> None:
        number = next(self._ids)
        self._shard_of(run).frames[priority].entries[number] = Entry(
            stream=f"{self.settings.shard_of(run)}:{priority}",
            id=str(number),
            run=run,
            first=first,
            n_frames=n,
            payload=payload,
            again=again,
        )

    def requeue(self, run: str, first: int, n_frames: int, payload: bytes) -> None:
        """See OperatorBroker."""
        shard = self._shard_of(check_run_name(run))
        held = shard.held["bulk"]
        if held and held + len(payload) > 4 * self.settings.high_water_bytes:
            refuse_crowd(held)
        shard.held["bulk"] += len(payload)
        self._enter("bulk", run, first, n_frames, payload, again=True)

    def _hold(self, run: str, size: int) -> None:
        shard = self._shard_of(run)
        state = shard.runs[run]
        self._update(run, held_bytes=state.held_bytes + size)
        shard.held[state.spec.priority] += size

    def drop(
        self, opened: Opened, n_frames: int, *, first_s: float = 0.0, last_s: float = 0.0
    ) -> None:
        """See ProducerBroker."""
        state, now = self._opened(opened), self._clock()
        first = state.dropped_first if state.dropped else first_s or now
        self._update(
            opened.run,
            dropped=state.dropped + n_frames,
            dropped_first=first,
            dropped_last=last_s or now,
        )

    def seal(self, opened: Opened, n_frames: int, *, interrupted: bool = False) -> int:
        """See ProducerBroker."""
        state = self._opened(opened)
        if state.next_index < n_frames:
            return state.next_index
        if state.sealed is None:
            self._update(opened.run, sealed=state.next_index, interrupted=interrupted)
        return state.next_index if state.sealed is None else state.sealed

    # -- worker -----------------------------------------------------------------------------------

    def read(
        self, consumer: str, *, block_s: float, enough_bytes: int = ENOUGH_BYTES
    ) -> list[Entry]:
        """See WorkerBroker."""
        del block_s
        for priority in PRIORITIES:
            taken: list[Entry] = []
            for stream in (shard.frames[priority] for shard in self._shards):
                for i in stream.unread():
                    if sum(len(e.payload) for e in taken) >= enough_bytes:
                        return taken
                    stream.deliveries[i] = Delivery(consumer, self._clock())
                    taken.append(stream.entries[i])
            if taken:
                return taken
        return []

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
        self._hold(first.run, grown)
        self._update(first.run, dead=shard.runs[first.run].dead + c.n_dead)
        return True

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

    # -- writer -----------------------------------------------------------------------------------

    def acquire(self, shard: int, owner: str, *, above: int) -> Lease:
        """See WriterBroker."""
        s = self._shards[shard]
        if s.owner not in ("", owner) and s.until > self._clock():
            raise Fenced(f"shard {shard} is being written by {s.owner}")
        s.owner, s.epoch = owner, max(s.epoch, above) + 1
        s.until = self._clock() + self.settings.lease_s
        return Lease(shard=shard, owner=owner, epoch=s.epoch)

    def renew(self, lease: Lease) -> None:
        """See WriterBroker."""
        self._leased(lease).until = self._clock() + self.settings.lease_s

    def yield_lease(self, lease: Lease) -> None:
        """See WriterBroker."""
        self._leased(lease).owner = ""

    def _leased(self, lease: Lease) -> Shard:
        shard = self._shards[lease.shard]
        if (shard.epoch, shard.owner) != (lease.epoch, lease.owner):
            raise Fenced(f"shard {lease.shard} has another writer now; {lease.owner} must stop")
        return shard

    def results(self, lease: Lease, after: str, *, block_s: float) -> list[ResultEntry]:
        """See WriterBroker."""
        del block_s
        return [r for i, r in self._shards[lease.shard].results.items() if i > int(after)]

    def model(self, lease: Lease, sha256: str) -> bytes | None:
        """See WriterBroker."""
        return self.known_model(lease.shard, sha256)

    def adopt(
        self, lease: Lease, run: str, *, n_frames: int, run_id: str, file: str, host: str
    ) -> None:
        """See WriterBroker."""
        state = self._leased(lease).runs.get(run)
        if state is None:
            raise Stop(f"shard {lease.shard}: run {run!r} is not known")
        self._update(
            run,
            next_index=max(n_frames, state.next_index),
            watermark=max(n_frames, state.watermark),
            run_id=run_id,
            file=file,
            host=host,
            refusal="",
        )

    def refuse(self, lease: Lease, run: str, reason: str) -> None:
        """See WriterBroker."""
        self._leased(lease)
        self._update(run, refusal=reason)

    def commit(
        self, lease: Lease, run: str, watermark: int, entries: Sequence[ResultEntry]
    ) -> None:
        """See WriterBroker."""
        shard = self._leased(lease)
        for entry in entries:
            if shard.results.pop(int(entry.id), None) is not None:
                self._hold(run, -entry.held_bytes)
        if run in shard.runs:
            self._update(run, watermark=max(watermark, shard.runs[run].watermark))

    def settle(self, lease: Lease, entries: Sequence[ResultEntry]) -> None:
        """See WriterBroker."""
        shard = self._leased(lease)
        for entry in entries:
            if shard.results.pop(int(entry.id), None) is not None:
                shard.held["bulk"] -= entry.held_bytes

    def count_dead(self, lease: Lease, run: str, n: int) -> None:
        """See WriterBroker."""
        if run in self._leased(lease).runs:
            self._update(run, dead=n)

    def note_dead(self, lease: Lease, notices: Sequence[bytes]) -> None:
        """See WriterBroker."""
        shard = self._leased(lease)
        shard.notices = [*shard.notices, *notices][-NOTICES:]

    def buried(self, lease: Lease) -> list[tuple[str, bytes]]:
        """See WriterBroker."""
        return [(str(i), letter) for i, letter in self._leased(lease).buried.items()]

    def unbury(self, lease: Lease, ids: Sequence[str]) -> None:
        """See WriterBroker."""
        for number in map(int, ids):
            self._leased(lease).buried.pop(number, None)

    def finish(self, lease: Lease, run: str) -> bool:
        """See WriterBroker."""
        state = self._leased(lease).runs[run]
        if state.sealed is not None:
            self._update(run, finished=True)
        return state.sealed is not None

    def open_runs(self, lease: Lease) -> list[RunState]:
        """See WriterBroker."""
        return [state for state in self._shards[lease.shard].runs.values() if not state.finished]

    # -- viewer -----------------------------------------------------------------------------------

    def runs(self) -> list[RunState]:
        """See ViewerBroker."""
        return [s.runs[name] for s in self._shards for name in sorted(s.runs)]

    def run(self, run: str) -> RunState | None:
        """See ViewerBroker."""
        return self._shard_of(run).runs.get(run)

    def workers(self) -> list[WorkerState]:
        """See ViewerBroker."""
        silence = self.settings.worker_silence_s
        return [w for w in self._workers.values() if self._clock() - w.seen_at < silence]

    def shadows(self) -> list[ShadowCount]:
        """See ViewerBroker."""
        return [self._shadows[key] for key in sorted(self._shadows)]

    def shards(self) -> list[ShardState]:
        """See ViewerBroker."""
        return [
            ShardState(
                shard=k,
                waiting={p: len(s.frames[p].entries) for p in PRIORITIES},
                pending=sum(len(s.frames[p].deliveries) for p in PRIORITIES),
                results=len(s.results),
                buried=len(s.buried),
                held_bytes=dict(s.held),
                writer=s.owner,
                writer_alive=bool(s.owner) and s.until > self._clock(),
            )
            for k, s in enumerate(self._shards)
        ]

    def dead_letters(self, shard: int) -> list[bytes]:
        """See ViewerBroker."""
        s = self._shards[shard]
        waiting = [letter for result in s.results.values() for letter in result.letters]
        return waiting + list(s.buried.values())

    def notices(self, shard: int) -> list[bytes]:
        """See ViewerBroker."""
        return self._shards[shard].notices[::-1]

    def known_model(self, shard: int, sha256: str) -> bytes | None:
        """See ViewerBroker."""
        return self._shards[shard].models.get(sha256)

    def results_end(self, shard: int) -> str:
        """See ViewerBroker."""
        return self._shards[shard].last_result

    def follow(self, shard: int, after: str, *, block_s: float) -> list[ResultEntry]:
        """See ViewerBroker."""
        del block_s
        found = self._shards[shard].results.items()
        return [replace(r, frames=()) for i, r in found if i > int(after)]
