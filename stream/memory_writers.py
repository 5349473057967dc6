"""What a writer may do in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from stream.broker import NOTICES, Lease, ResultEntry, RunState
from stream.memory_shard import Shard
from stream.memory_views import MemoryViews
from xas.errors import Fenced, Stop


class MemoryWriters(MemoryViews):
    """See ``stream.broker.WriterBroker`` for what each call promises."""

    def acquire(self, shard: int, owner: str, *, above: int) -> Lease:
        """See WriterBroker."""
        s = self._shards[shard]
        if s.owner not in ("", owner) and s.until > self._clock():
            s.until = min(s.until, self._clock() + s.lease_s)  # a clock that was set back
            raise Fenced(f"shard {shard} is being written by {s.owner}")
        s.owner, s.epoch = owner, max(s.epoch, above) + 1
        self._extend(s)
        return Lease(shard=shard, owner=owner, epoch=s.epoch)

    def renew(self, lease: Lease) -> None:
        """See WriterBroker."""
        self._extend(self._leased(lease))

    def _extend(self, shard: Shard) -> None:
        shard.lease_s = self.settings.lease_s
        shard.until = self._clock() + shard.lease_s

    def yield_lease(self, lease: Lease) -> None:
        """See WriterBroker."""
        self._leased(lease).owner = ""

    def _leased(self, lease: Lease) -> Shard:
        shard = self._shards[lease.shard]
        if (shard.epoch, shard.owner) != (lease.epoch, lease.owner):
            raise Fenced(f"shard {lease.shard} has another writer now; {lease.owner} must stop")
        return shard

    def results(
        self, lease: Lease, after: str, *, block_s: float, bare: Collection[str] = ()
    ) -> list[ResultEntry]:
        """See WriterBroker."""
        del block_s
        found = [r for i, r in self._shards[lease.shard].results.items() if i > int(after)]
        return [
            replace(r, payload=b"", frames=(), letters=()) if r.run in bare and not r.again else r
            for r in found
        ]

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
        self._refuse(run, "")
        self._update(
            run,
            next_index=max(n_frames, state.next_index),
            watermark=max(n_frames, state.watermark),
            run_id=run_id,
            file=file,
            host=host,
        )

    def refuse(self, lease: Lease, run: str, reason: str) -> None:
        """See WriterBroker."""
        if run in self._leased(lease).runs:
            self._refuse(run, reason)

    def commit(
        self, lease: Lease, run: str, watermark: int, entries: Sequence[ResultEntry]
    ) -> None:
        """See WriterBroker."""
        shard = self._leased(lease)
        for entry in entries:
            if shard.results.pop(int(entry.id), None) is not None and run in shard.runs:
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
