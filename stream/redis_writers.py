"""What a writer may do on Redis 7 or Valkey."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from stream.broker import NOTICES, Lease, ResultEntry, RunState
from stream.redis_answers import check_lease, text, with_values
from stream.redis_views import RedisViews
from stream.scripts import load_missing
from xas.errors import Fenced

RESULT_BYTES = 2**24  # of one read by the writer, but always one entry


class RedisWriters(RedisViews):
    """See ``stream.broker.WriterBroker`` for what each call promises."""

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

    def results(
        self, lease: Lease, after: str, *, block_s: float, bare: Collection[str] = ()
    ) -> list[ResultEntry]:
        """See WriterBroker."""
        found = self._results(lease.shard, after, block_s)
        keys = [() if r.run in bare and not r.again else r.keys for r in found]
        sizes = [r.held_bytes if k else 0 for r, k in zip(found, keys, strict=True)]
        while len(found) > 1 and sum(sizes[: len(found)]) > RESULT_BYTES:
            del found[-(len(found) // 2) :]
        del keys[len(found) :]
        values = iter(self._values([key for k in keys for key in k]))
        return [
            with_values(r, [next(values) for _ in k]) if k else r
            for r, k in zip(found, keys, strict=True)
        ]

    def model(self, lease: Lease, sha256: str) -> bytes | None:
        """See WriterBroker."""
        return self.known_model(lease.shard, sha256)

    def adopt(
        self, lease: Lease, run: str, *, n_frames: int, run_id: str, file: str, host: str
    ) -> None:
        """See WriterBroker."""
        words = (lease.epoch, n_frames, run_id, file, host)
        check_lease(lease, self._server.call("adopt", self._run_keys(lease, run), *words))

    def refuse(self, lease: Lease, run: str, reason: str) -> None:
        """See WriterBroker."""
        words = (lease.epoch, reason)
        check_lease(lease, self._server.call("refuse", self._run_keys(lease, run), *words))

    def _run_keys(self, lease: Lease, run: str) -> list[str]:
        return [self._key(lease.shard, "writer"), *self._keys_of(run, "bytes")]

    def finish(self, lease: Lease, run: str) -> bool:
        """See WriterBroker."""
        keys = [self._key(lease.shard, "writer"), *self._keys_of(run, "open")]
        answer = self._server.call("finish", keys, lease.epoch, run)
        check_lease(lease, answer)
        return bool(answer[0] == b"ok")

    def open_runs(self, lease: Lease) -> list[RunState]:
        """See WriterBroker."""
        return self._states(lease.shard, "open")

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
        keys = self._run_keys(lease, run)[:2]
        check_lease(lease, self._server.call("mark_run", keys, lease.epoch, "dead", n))

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
