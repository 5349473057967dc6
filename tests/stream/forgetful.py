"""A server that forgets and a writer's disk, for tests of the spool."""

from __future__ import annotations

import numpy as np
from rigs import SPEC

from stream.broker import Opened, RunState
from stream.codec import decode
from stream.memory_broker import MemoryBroker
from stream.messages import FrameBlock
from xas.errors import ServerUnreachable
from xas.structure import StructureBatch


class Server(MemoryBroker):
    """A server that goes away, before or after it has done what it was asked, or forgets."""

    failures: tuple[str, ...] = ()
    away = False

    def _check(self) -> None:
        if self.away:
            raise ServerUnreachable("no answer")

    def open_run(self, *args: object, **options: object) -> Opened:
        self._check()
        return super().open_run(*args, **options)  # type: ignore[arg-type]

    def run(self, run: str) -> RunState | None:
        self._check()
        return super().run(run)

    def push(self, opened: Opened, first: int, n_frames: int, payload: bytes) -> int:
        self._check()
        failure, *self.failures = self.failures or ("",)  # type: ignore[assignment]
        if failure == "before":
            raise ServerUnreachable("no answer")
        answer = super().push(opened, first, n_frames, payload)
        if failure == "after":
            raise ServerUnreachable("no answer")
        return answer

    def forget(self, down_to: int = 0) -> None:
        """Come back empty, or older."""
        state = self.run("md")
        assert state is not None
        old = [*self._shard_of("md").frames["live"].entries.values()]
        self.__init__(self.settings, self._clock)  # type: ignore[misc]
        if down_to:
            self.open_run("md", SPEC, run_id=state.run_id, resume=False)
            kept = [e for e in old if e.first + e.n_frames <= down_to]
            self._update("md", epoch=state.epoch, next_index=down_to)
            self._shard_of("md").frames["live"].entries = {int(e.id): e for e in kept}


class Disk:
    """The writer's disk: rows by index, the first write wins."""

    def __init__(self, server: Server) -> None:
        self.server, self.rows = server, {}  # type: ignore[var-annotated]
        self.run_id = ""

    @property
    def watermark(self) -> int:
        return len(self.rows)

    def adopt(self) -> None:
        """Tell a server that forgot how far the file is."""
        state = self.server.run("md")
        if state is None:
            return
        self.run_id = self.run_id or state.run_id
        lease = self.server.acquire(0, "me", above=0)
        self.server.adopt(
            lease, "md", n_frames=self.watermark, run_id=self.run_id, file="f", host="h"
        )

    def write(self) -> None:
        """Everything that the broker holds becomes rows."""
        self.adopt()
        waiting = self.server._shard_of("md").frames["live"]
        lease = self.server.acquire(0, "me", above=0)
        for entry in [*waiting.entries.values()]:
            positions = decode(entry.payload, FrameBlock).structures()
            for k in range(entry.n_frames):
                self.rows.setdefault(entry.first + k, positions[k : k + 1].positions)
            waiting.entries.pop(int(entry.id))
            self.server._hold("md", -len(entry.payload) - entry.reserved)
        assert sorted(self.rows) == [*range(len(self.rows))], "a gap in the file"
        self.server.commit(lease, "md", self.watermark, [])

    def assert_is(self, frames: StructureBatch) -> None:
        assert len(self.rows) == len(frames)
        for k, row in self.rows.items():
            np.testing.assert_array_equal(row, frames[k : k + 1].positions)
