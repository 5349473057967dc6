"""What somebody who mends things may do on Redis 7 or Valkey."""

from __future__ import annotations

from stream.messages import check_run_name
from stream.redis_answers import check_answer
from stream.redis_connection import Call
from stream.redis_views import AHEAD_S, EVERY_RUN, RedisViews
from stream.refusals import refuse_crowd, refuse_to_discard, refuse_to_pause


class RedisOperators(RedisViews):
    """See ``stream.broker.OperatorBroker`` for what each call promises."""

    def requeue(self, run: str, first: int, n_frames: int, payload: bytes) -> None:
        """See OperatorBroker."""
        block = self._new_key(check_run_name(run), "f")
        _, frames, held, gates = self._keys_of(run, "frames:bulk", "bytes", "gates")
        keys = [frames, held, block, gates]
        words = (run, first, n_frames, self.settings.high_water_bytes)
        came = ("SET", block, payload, "EX", AHEAD_S)
        answer = self._server.call("requeue", keys, *words, ahead=[came])
        while answer[0] == b"lost":
            self._server.command(*came)  # says why, where the server is full
            answer = self._server.call("requeue", keys, *words)
        if answer[0] == b"full":
            refuse_crowd(int(answer[1]))
        check_answer(run, answer)

    def drain(self) -> None:
        """See OperatorBroker."""
        self._server.calls("gate", self._all_gates("shut"))

    def admit(self) -> bool:
        """See OperatorBroker."""
        return any(self._server.calls("gate", self._all_gates("open")))

    def discard(self, run: str) -> int:
        """See OperatorBroker."""
        keys = self._keys_of(check_run_name(run), "runs", "open", "bytes", "gates")
        answer = self._server.call("discard", keys, run)
        if answer[0] != b"ok":
            refuse_to_discard(run, known=answer[0] == b"wanted")
        return int(answer[1])

    def _all_gates(self, verb: str) -> list[Call]:
        return [([self._key(k, "gates")], (EVERY_RUN, verb)) for k in range(self.settings.shards)]

    def pause(self, run: str) -> None:
        """See OperatorBroker."""
        refuse_to_pause(run, self.run(check_run_name(run)))
        self._server.call("gate", self._keys_of(run, "gates")[1:], run, "shut")

    def resume(self, run: str) -> bool:
        """See OperatorBroker."""
        keys = self._keys_of(check_run_name(run), "gates")[1:]
        return bool(self._server.call("gate", keys, run, "open"))
