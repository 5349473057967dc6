"""A whole service on this machine whose processes can be asked for what they used."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from edgestream.bench.processes import CpuTime, cpu_of, memory_bytes
from edgestream.bench.server_info import command_microseconds, server_info
from edgestream.local import LocalService, ServiceOptions
from stream.broker import RunState
from stream.messages import RunSpec
from stream.producer import Producer
from stream.settings import Settings
from xas.errors import Retry
from xas.structure import StructureBatch

START_TIMEOUT_S, RUN_TIMEOUT_S = 60.0, 3600.0
POLL_S = 0.02  # each look costs the server some 30 microseconds, which are counted as its own


class Stand:
    """An embedded server; workers and a writer, each a process of its own, started when asked for.

    All are those of ``edgestream serve``.
    """

    def __init__(
        self, out: Path, settings: Settings | None = None, *, models: str | None = None
    ) -> None:
        self.out, self.settings = out, settings or Settings()
        options = ServiceOptions(workers=0, models=models, settings=self.settings)
        self._service = LocalService(options, tell=lambda line: None)  # noqa: ARG005
        self._n_workers = 0

    def __enter__(self) -> Self:
        self._service.start()
        self.broker, self.url = self._service.broker, self._service.url
        assert self._service.server is not None
        self._socket = self._service.server.socket
        self.server_pid = int(server_info(self._socket, "server")["process_id"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._service.stop()

    # -- parts ------------------------------------------------------------------------------------

    def start_writer(self) -> None:
        """Start the writer and wait until it holds its lease."""
        self._service.start_writer(self.out)
        self.until(lambda: all(s.writer_alive for s in self.broker.shards()), "the writer")

    def start_workers(self, n: int) -> None:
        """Start n more workers and wait until they read."""
        for number in range(self._n_workers, self._n_workers + n):
            self._service.start_worker(number)
        self._n_workers += n
        self.until(lambda: len(self.broker.workers()) == self._n_workers, "the workers")

    def pids(self) -> dict[str, int]:
        """Every process by its role: server, writer, worker 0, ..."""
        found = {"server": self.server_pid}
        for number in range(self._n_workers):
            found[f"worker {number}"] = self._service.pids(f"worker {number}")[0]
        for pid in self._service.pids("writer"):
            found["writer"] = pid
        return found

    def cpu(self) -> dict[str, CpuTime]:
        """CPU time of every process until now."""
        return {role: cpu_of(pid) for role, pid in self.pids().items()}

    def memory(self) -> dict[str, int]:
        """Resident bytes of every process."""
        return {role: memory_bytes(pid) for role, pid in self.pids().items()}

    def commands(self) -> dict[str, float]:
        """Microseconds within each of the server's commands until now."""
        return command_microseconds(self._socket)

    # -- runs -------------------------------------------------------------------------------------

    def producer(self, run: str, model: str, priority: str = "bulk") -> Producer:
        """Open a run, as ``edgestream run`` does (bulk) or a live program (live)."""
        spec = RunSpec(model=model, priority=priority)
        return Producer(self.broker, run, spec, settings=self.settings, tell=lambda _: None)

    def warm(self, model: str, frames: StructureBatch) -> None:
        """Every worker has predicted, and the writer has finished files."""
        for run in self.warm_workers(model, frames):
            self.until_finished(run)

    def warm_workers(self, model: str, frames: StructureBatch) -> list[str]:
        """Push small runs until every worker has predicted; which they were."""
        runs: list[str] = []
        while not runs or any(not worker.frames for worker in self.broker.workers()):
            names = [f"warm-{len(runs) + i}" for i in range(2 * self._n_workers)]
            runs += [self._push_warm(name, model, frames) for name in names]
            self._until_predicted(len(runs) * len(frames))
        return runs

    def _push_warm(self, run: str, model: str, frames: StructureBatch) -> str:
        producer = self.producer(run, model)
        producer.push(frames)
        producer.seal()
        return run

    def _until_predicted(self, n_frames: int) -> None:
        self.until(lambda: sum(w.frames for w in self.broker.workers()) >= n_frames, "the workers")

    def blocks_waiting(self) -> int:
        """Blocks that no worker has answered yet; those in workers' hands are counted."""
        return sum(sum(shard.waiting.values()) for shard in self.broker.shards())

    def until_answered(self, look_s: float) -> None:
        """Wait until workers have answered every block."""
        self.until(lambda: not self.blocks_waiting(), "the workers", RUN_TIMEOUT_S, look_s)

    def until_written(self, run: str, n_frames: int) -> None:
        """Wait until so many frames of a run are on disk."""
        self.until(lambda: self.state(run).watermark >= n_frames, f"run {run!r}", RUN_TIMEOUT_S)

    def until_finished(self, run: str) -> RunState:
        """Wait for the file of a sealed run."""
        self.until(lambda: self.state(run).finished, f"run {run!r}", RUN_TIMEOUT_S)
        return self.state(run)

    def state(self, run: str) -> RunState:
        """What the broker knows of a run."""
        state = self.broker.run(run)
        assert state is not None, run
        return state

    def until(
        self,
        true: Callable[[], bool],
        what: str,
        timeout_s: float = START_TIMEOUT_S,
        look_s: float = POLL_S,
    ) -> None:
        """Wait; Retry, with its last words, where a process cannot be kept running, and in vain."""
        end = time.monotonic() + timeout_s
        while not true():
            self._service.watch()
            if time.monotonic() > end:
                raise Retry(f"bench: waited {timeout_s:g} s for {what} in vain")
            time.sleep(look_s)
