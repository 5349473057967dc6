"""What a producer may do on Redis 7 or Valkey."""

from __future__ import annotations

import msgspec

from stream.broker import FIRST_GROWTH, Opened
from stream.messages import RunSpec, check_run_name
from stream.redis_answers import check_answer
from stream.redis_views import AHEAD_S, RedisViews
from stream.refusals import check_priority


class RedisProducers(RedisViews):
    """See ``stream.broker.ProducerBroker`` for what each call promises."""

    def open_run(self, run: str, spec: RunSpec, *, run_id: str, resume: bool) -> Opened:
        """See ProducerBroker."""
        check_run_name(run)
        check_priority(spec.priority)
        answer = self._server.call(
            "open_run",
            self._keys_of(run, "runs", "open", "bytes"),
            run,
            msgspec.msgpack.encode(spec),
            run_id,
            int(resume),
            spec.priority,
            FIRST_GROWTH,
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
        run, frames, held, gates = self._keys_of(
            opened.run, f"frames:{opened.priority}", "bytes", "gates"
        )
        keys = [run, frames, held, block, gates]
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
