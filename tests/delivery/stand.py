"""A stand for delivery tests: a real server, real workers, a real writer, all of them mortal."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ports import free_port

from edgestream.demo_command import demo_trajectory
from edgestream.embedded import EmbeddedServer
from edgestream.feeding import Opened, Trajectory
from edgestream.prediction import predict
from edgestream.settings_words import settings_as_options
from stream.codec import decode
from stream.dead_letters import RunLetters, runs_with_letters
from stream.messages import DeadLetter, RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.result_file.reader import RunFile
from stream.settings import Settings
from xas.errors import Retry
from xas.structure import StructureBatch

HERE = Path(__file__).parent
SETTINGS = Settings(
    claim_idle_s=1.0, lease_s=1.5, block_atoms=400, commit_interval_s=0.05, segment_grace_s=0.0
)


def moving_frames(n: int, seed: int = 1) -> StructureBatch:
    """n different frames of the demo complex."""
    chunks = [chunk.structures for chunk in Opened(Trajectory(path=str(demo_trajectory())))]
    frames = StructureBatch.concatenate(chunks)
    frames = StructureBatch.concatenate([frames] * -(-n // len(frames)))[:n]
    shaken = np.random.default_rng(seed).normal(0.0, 0.01, frames.positions.shape)
    return StructureBatch.from_arrays(frames.numbers, frames.positions + shaken, frames.offsets)


@dataclass
class Stand:
    """Starts and kills the parts of a service; ends them all at the end."""

    folder: Path
    server_binary: str | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.out = self.folder / "out"
        self.server = self._server(port=free_port()).start()
        self.url = self.server.tcp_url
        self.broker = RedisBroker(self.url, SETTINGS)

    def _server(self, port: int) -> EmbeddedServer:
        data = self.folder / "data"
        return EmbeddedServer(server=self.server_binary, data_dir=data, port=port)

    def restart_server(self, *, how: int, empty: bool = False, older: Path | None = None) -> None:
        """End the server with a signal, and start it again on the same port and data, or none, or
        those of a folder.
        """
        port = self.server.port
        end_server(port, how)
        self.server.stop()
        time.sleep(0.3)
        if empty or older:
            shutil.rmtree(self.folder / "data")
        if older:
            shutil.copytree(older, self.folder / "data")
        self.server = self._server(port).start()

    def start(self, role: str, name: str, *options: str, under: list[str] | None = None) -> int:
        """Start one process of the service."""
        command = [sys.executable, "-m", "edgestream", role, "--redis-url", self.url]
        command += [*settings_as_options(SETTINGS), *options]
        return self.start_command(name, [*(under or []), *command])

    def start_command(self, name: str, command: list[str]) -> int:
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        return self.processes[name].pid

    def start_worker(self, name: str = "w0") -> int:
        return self.start("worker", name, "--name", name)

    def start_writer(self, name: str = "writer", **kwargs: list[str]) -> int:
        return self.start("writer", name, "--out", str(self.out), **kwargs)

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    @contextmanager
    def pushing(self, run: str, frames: StructureBatch, pause_s: float = 0.0) -> Iterator[None]:
        """Push in a thread, block by block, while the test does its worst; seal at the end."""
        failed: list[BaseException] = []

        def push() -> None:
            try:
                broker = RedisBroker(self.url, SETTINGS)
                producer = Producer(broker, run, RunSpec(model="fe-k"), settings=SETTINGS)
                for i in range(0, len(frames), 50):
                    producer.push(frames[i : i + 50])
                    time.sleep(pause_s)
                producer.seal()
                broker.close()
            except BaseException as error:  # noqa: BLE001 - raised again in the test
                failed.append(error)

        thread = threading.Thread(target=push)
        thread.start()
        yield
        thread.join(timeout=120)
        assert not thread.is_alive(), "the producer hangs"
        if failed:
            raise failed[0]

    def wait(self, run: str, done: Callable[[object], bool], timeout_s: float = 90.0) -> None:
        """Until the run's state is as wanted; the logs are shown where it never is."""
        end = time.monotonic() + timeout_s
        state = None
        while time.monotonic() < end:
            try:
                state = self.broker.run(run)
            except Retry:  # a server that is being restarted
                state = None
            if state is not None and done(state):
                return
            time.sleep(0.02)
        logs = "\n".join(f"--- {p.name}\n{p.read_text()}" for p in self.folder.glob("*.log"))
        raise AssertionError(f"run {run} stands at {state}\n{logs}")

    def wait_for_workers(self, n: int, timeout_s: float = 60.0) -> None:
        """Until so many workers say that they are there."""
        end = time.monotonic() + timeout_s
        while len(self.broker.workers()) < n:
            assert time.monotonic() < end, f"no {n} workers"
            time.sleep(0.02)

    def wait_until_finished(self, run: str) -> RunFile:
        self.wait(run, lambda state: state.finished)
        return RunFile(self.out / f"{run}.h5")

    def dead_letters(self) -> list[DeadLetter]:
        waiting = [decode(raw, DeadLetter) for raw in self.broker.dead_letters(0)]
        runs = runs_with_letters(self.out)
        return waiting + [k.letter for run in runs for k in RunLetters(self.out, run).letters()]

    def close(self) -> None:
        self.close_processes()
        self.broker.close()
        self.server.stop()

    def close_processes(self) -> None:
        """End all of them as they should end."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            for process in self.processes.values():
                os.killpg(process.pid, number)  # whoever runs under strace too
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()


def end_server(port: int, how: int) -> None:
    """Signal the server that listens on a port, and wait until it is gone."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f":{port}".encode() in words and b"server" in words.split(b"\0")[0]:
            pid = int(folder.name)
            os.kill(pid, how)
            with contextlib.suppress(OSError):  # it went while we looked
                while b"server" in (folder / "cmdline").read_bytes():
                    time.sleep(0.01)
            return
    raise AssertionError(f"no server listens on port {port}")


def assert_all_predicted(
    file: RunFile, frames: StructureBatch, poison: frozenset[int] | set[int] = frozenset()
) -> None:
    """Every frame has exactly one row, equal to the direct prediction; poison has a tombstone."""
    assert len(file) == len(frames)
    assert (file.frame_index == np.arange(len(frames))).all()
    dead = set(np.flatnonzero(file.status == 2).tolist())
    assert dead == set(poison)
    innocent = np.array([i for i in range(len(frames)) if i not in dead])
    direct = predict(frames.take(innocent))
    assert np.abs(file.intensity[:][innocent] - direct.intensity).max() < 1e-6
    assert np.abs(file.errors[:][innocent] - direct.errors).max() < 1e-6
