"""What somebody who mends things may do in memory."""

from __future__ import annotations

from stream.memory_views import MemoryViews
from stream.messages import check_run_name
from stream.refusals import refuse_crowd


class MemoryOperators(MemoryViews):
    """See ``stream.broker.OperatorBroker`` for what each call promises."""

    def requeue(self, run: str, first: int, n_frames: int, payload: bytes) -> None:
        """See OperatorBroker."""
        shard = self._shard_of(check_run_name(run))
        held = shard.held["bulk"]
        if held and held + len(payload) > 4 * self.settings.high_water_bytes:
            refuse_crowd(held)
        shard.held["bulk"] += len(payload)
        self._enter("bulk", run, first, n_frames, payload, again=True)
