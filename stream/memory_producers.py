"""What a producer may do in memory."""

from __future__ import annotations

from stream.broker import FIRST_GROWTH, Opened, RunState
from stream.memory_shard import new_run
from stream.memory_views import MemoryViews
from stream.messages import RunSpec, check_run_name
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


class MemoryProducers(MemoryViews):
    """See ``stream.broker.ProducerBroker`` for what each call promises."""

    def open_run(self, run: str, spec: RunSpec, *, run_id: str, resume: bool) -> Opened:
        """See ProducerBroker."""
        check_run_name(run)
        check_priority(spec.priority)
        shard = self._shard_of(run)
        created = run not in shard.runs
        if created:
            shard.runs[run] = new_run(run, spec, run_id, self._clock())
            shard.growth[run] = FIRST_GROWTH
        state = shard.runs[run]
        if state.sealed is not None and not (state.interrupted and resume):
            refuse_sealed(run, state.sealed)
        state.spec.require_same(run, spec)
        if state.next_index and not resume and state.run_id != run_id:
            refuse_existing(run, state.next_index)
        self._refuse(run, "")
        self._update(
            run,
            epoch=max(state.epoch + 1, int(1000 * self._clock())),
            sealed=None,
            interrupted=False,
            finished=False,
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
        if state is None or state.epoch < opened.epoch:  # of before the opening: see push.lua
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
        if shard.drained_at is not None:
            refuse_while_draining()
        if state.paused_at is not None:
            refuse_paused(opened.run)
        mark = self.settings.high_water_bytes
        reserved = -(-len(payload) * shard.growth[opened.run] // 1000)
        need = len(payload) + reserved
        shared = shard.held[opened.priority] + max(0, shard.refused - 4 * mark)
        if state.held_bytes and state.held_bytes + need > mark:
            refuse_full(opened.run, state.held_bytes)
        if shared and shared + need > 4 * mark:
            refuse_crowded(opened.run, shared)
        self._enter(opened.priority, opened.run, first, n_frames, payload, reserved=reserved)
        self._hold(opened.run, need)
        self._update(opened.run, next_index=first + n_frames)
        return first + n_frames

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
