"""What somebody who mends things may do in memory."""

from __future__ import annotations

from stream.memory_views import MemoryViews
from stream.messages import check_run_name
from stream.refusals import refuse_crowd, refuse_to_discard, refuse_to_pause, refuse_while_draining


class MemoryOperators(MemoryViews):
    """See ``stream.broker.OperatorBroker`` for what each call promises."""

    def requeue(self, run: str, first: int, n_frames: int, payload: bytes) -> None:
        """See OperatorBroker."""
        shard = self._shard_of(check_run_name(run))
        if shard.drained_at is not None:
            refuse_while_draining()
        held = shard.held["bulk"]
        if held and held + len(payload) > 4 * self.settings.high_water_bytes:
            refuse_crowd(held)
        shard.held["bulk"] += len(payload)
        self._enter("bulk", run, first, n_frames, payload, again=True)

    def drain(self) -> None:
        """See OperatorBroker."""
        for shard in self._shards:
            if shard.drained_at is None:
                shard.drained_at = self._clock()

    def admit(self) -> bool:
        """See OperatorBroker."""
        drained = [shard for shard in self._shards if shard.drained_at is not None]
        for shard in drained:
            shard.drained_at = None
        return bool(drained)

    def pause(self, run: str) -> None:
        """See OperatorBroker."""
        state = self.run(check_run_name(run))
        refuse_to_pause(run, state)
        if state is not None and state.paused_at is None:
            self._update(run, paused_at=self._clock())

    def resume(self, run: str) -> bool:
        """See OperatorBroker."""
        state = self.run(check_run_name(run))
        if state is None or state.paused_at is None:
            return False
        self._update(run, paused_at=None)
        return True

    def discard(self, run: str) -> int:
        """See OperatorBroker."""
        state = self.run(check_run_name(run))
        if state is None or not state.refusal:
            refuse_to_discard(run, known=state is not None)
        shard = self._shard_of(run)
        shard.refused -= state.held_bytes
        del shard.runs[run]
        return state.held_bytes
