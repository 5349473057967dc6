"""A stand that Prometheus watches, and the faults that are made there, one after the other."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from iron_labels import iron_label
from ports import free_port
from stand import SETTINGS, Stand, moving_frames
from swaps import make_store

from edgestream.embedded import EmbeddedServer
from edgestream.models import open_store
from stream.allowed_job import Running
from stream.codec import encode
from stream.jobs import Jobs
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.redis_label_stream import RedisLabelStream
from stream.settings import Settings
from trainer.archivist import Archivist
from xas.errors import Reject, RunRefused
from xas.structure import StructureBatch

MEMORY_BYTES = 6 * 2**20
PARTS = ("exporter", "writer", "worker")
Fault = tuple[Callable[[], object], set[str]]


class WatchedStand(Stand):
    """A stand whose processes have ports for Prometheus, and whose server has little memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ports = {part: free_port() for part in PARTS}
        self.models = self.folder / "models"
        make_store(self.models)
        self.jobs_server = EmbeddedServer().start()

    def _server(self, port: int) -> EmbeddedServer:
        data = self.folder / "data"
        return EmbeddedServer(data_dir=data, port=port, memory_bytes=MEMORY_BYTES)

    def start_part(self, part: str) -> None:
        own = {
            "exporter": ("--set", "worker_silence_s=3", "--jobs-url", self.jobs_server.url),
            "writer": ("--out", self.out),
            "worker": ("--models", self.models),
        }
        self.start(part, part, "--metrics-port", str(self.ports[part]), *map(str, own[part]))

    def push(
        self, run: str, frames: StructureBatch, settings: Settings = SETTINGS, policy: str = "block"
    ) -> Producer:
        broker = RedisBroker(self.url, settings)
        spec = RunSpec(model="fe-k")
        producer = Producer(broker, run, spec, settings=settings, policy=policy)  # type: ignore[arg-type]
        producer.push(frames)
        return producer

    def faults(self, disk: Path | None) -> Iterator[Fault]:
        """What is done, and which alerts must fire then, and have not fired before."""
        if disk is not None:
            yield lambda: fill(disk), {"DiskFilling"}
        yield lambda: self.push("poisoned", not_finite(3)), {"DeadLetters"}
        yield self.refuse_a_run, {"RunRefused", "Old"}
        self.broker.discard("taken")
        yield self.push_a_label, {"NoTrainer"}
        yield self.archive_what_is_no_label, {"LabelsRefused"}
        yield self.fail_a_job, {"JobFailed"}
        yield self.jobs_server.stop, {"JobsServerDown"}
        yield self.promote_a_broken_version, {"WorkerTroubled"}
        yield self.hang_the_worker, {"Old", "ProcessDown", "NoWorker"}
        yield self.drop_frames, {"FramesGivenUp"}
        yield self.fill_the_server, {"ServerMemory"}
        # fe-k is broken by now, for a worker that has nothing to fall back on
        yield (
            lambda: self.start("worker", "unfit", "--models", str(self.models)),
            {"WorkerStopped"},
        )
        yield lambda: self.kill("writer"), {"NoWriter"}
        yield self.server.stop, {"ServerDown"}
        yield lambda: self.kill("exporter"), {"Unwatched"}

    def refuse_a_run(self) -> None:
        (self.out / "taken.h5").write_bytes(b"somebody else's file")
        with contextlib.suppress(RunRefused):  # the writer may be faster than the first frame
            self.push("taken", moving_frames(1))

    def push_a_label(self) -> None:
        with closing(RedisLabelStream(self.url)) as stream:
            stream.push([encode(iron_label()), b"none"])

    def archive_what_is_no_label(self) -> None:
        stream = RedisLabelStream(self.url)
        with closing(stream), closing(Archivist(stream, self.folder / "labels")) as archivist:
            archivist.step(block_s=0)

    def fail_a_job(self) -> None:
        with closing(Jobs(self.jobs_server.url, {"train": refuse})) as jobs:
            jobs.enqueue("train", "train-fe-k")
            jobs.work(burst=True)

    def close(self) -> None:
        super().close()
        self.jobs_server.stop()

    def promote_a_broken_version(self) -> None:
        store = open_store(self.models)
        model = store.home.folder("fe-k", 2) / "model.onnx"
        model.chmod(0o644)
        model.write_bytes(model.read_bytes()[:1000])
        store.promote("fe-k", 2)

    def hang_the_worker(self) -> None:
        self.signal("worker", signal.SIGSTOP)
        self.push("waiting", moving_frames(100))

    def drop_frames(self) -> None:
        self.push("hasty", moving_frames(300), replace(SETTINGS, high_water_bytes=20_000), "drop")

    def fill_the_server(self) -> None:
        producer, frames = self.push("many", moving_frames(1)), moving_frames(500)
        while (used := self.broker.memory_bytes()) and used[0] < 0.85 * used[1]:
            producer.push(frames)


def fill(disk: Path) -> None:
    """Nineteen parts of twenty."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free * 95 // 100)


def refuse(running: Running) -> None:
    raise Reject("nothing to learn from")


def not_finite(n: int) -> StructureBatch:
    frames = moving_frames(n)
    return replace(frames, positions=np.full_like(frames.positions, np.nan))
