"""What somebody who mends things may do on Redis 7 or Valkey."""

from __future__ import annotations

from stream.messages import check_run_name
from stream.redis_views import AHEAD_S, RedisViews
from stream.refusals import refuse_crowd


class RedisOperators(RedisViews):
    """See ``stream.broker.OperatorBroker`` for what each call promises."""

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
