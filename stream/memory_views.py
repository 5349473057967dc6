"""What anybody may look at in the broker in memory, and what it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from stream.broker import PRIORITIES, Entry, ResultEntry, RunState, ShardState, WorkerState
from stream.memory_shard import Shard
from stream.settings import Settings
from stream.shadows import ShadowCount


class MemoryViews:
    """See ``stream.broker.ViewerBroker`` for what each call promises."""

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
                oldest_s=s.oldest_s(self._clock()),
                held_bytes=dict(s.held),
                refused_bytes=s.refused,
                writer=s.owner,
                writer_alive=bool(s.owner) and s.until > self._clock(),
                drained_at=s.drained_at,
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

    # -- what several of them do -------------------------------------------------------------------

    def _enter(
        self,
        priority: str,
        run: str,
        first: int,
        n: int,
        payload: bytes,
        *,
        reserved: int = 0,
        again: bool = False,
    ) -> None:
        number = next(self._ids)
        self._shard_of(run).since[number] = self._clock()
        self._shard_of(run).frames[priority].entries[number] = Entry(
            stream=f"{self.settings.shard_of(run)}:{priority}",
            id=str(number),
            run=run,
            first=first,
            n_frames=n,
            payload=payload,
            reserved=reserved,
            again=again,
        )

    def _hold(self, run: str, size: int) -> None:
        shard = self._shard_of(run)
        state = shard.runs[run]
        self._update(run, held_bytes=state.held_bytes + size)
        if state.refusal:
            shard.refused += size
        else:
            shard.held[state.spec.priority] += size

    def _refuse(self, run: str, reason: str) -> None:
        """Set the refusal, or with an empty reason end it; the run's bytes change their class."""
        held = self._shard_of(run).runs[run].held_bytes
        self._hold(run, -held)
        self._update(run, refusal=reason)
        self._hold(run, held)
