"""The closed loop as its users run it: a server, and a process for each of its parts.

Worker, writer, trainer, ``ask --follow`` and labeller are the commands of the command line. A
producer pushes the frames that have no label, again after each training; FDMNES is played by
``stored_theory.sh``, which the labeller runs in the folder that it prepared.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
from loop import NAME, PRESET, SERVICE, Indices, Round, Task, round_of, told

import edgestream
from edgestream.embedded import EmbeddedServer
from model_store.store import Store
from stream.jobs import Jobs, JobState
from stream.sources.theory_input import FDMNES_INPUT, theory_input
from trainer.label_request import RequestFolder
from trainer.orders import TrainingOutcome

RADIUS = 6.0
LOOK_S = 0.5
PER_HOUR = 2400
FIRST_FILE = "first.npz"
THEORY = Path(__file__).with_name("stored_theory.sh")


def store_theory(task: Task, folder: Path) -> None:
    """What the theory code knows: a spectrum for each input that may be written."""
    folder.mkdir()
    held_back = np.flatnonzero(~task.held_out())
    for i in held_back:
        structure = task.data.batch[int(i) : int(i) + 1]
        text = theory_input("fdmnes", structure, "K", RADIUS)[FDMNES_INPUT]
        rows = zip(task.data.energy, task.data.intensity[i], strict=True)
        lines = ["   Energy    <xanes>", *(f"{e:.6f} {m:.9e}" for e, m in rows)]
        name = hashlib.sha256(text.encode()).hexdigest()
        (folder / name).write_text("\n".join(lines) + "\n")


def store_first(task: Task, known: Indices, path: Path) -> None:
    """The labels that the loop begins with, as ``edgestream label push`` takes them."""
    batch = task.data.batch.take(known)
    np.savez(
        path,
        numbers=batch.numbers,
        positions=batch.positions,
        offsets=batch.offsets,
        energy=task.data.energy,
        mu=task.data.intensity[known],
        name=task.data.names[known],
    )


class Service:
    """The commands in the background, each with a log; everything lies in ``folder``."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.folder, self.url, self._stack = folder, url, stack
        self._environment = {**os.environ, "EDGESTREAM_URL": url}
        self.jobs = Jobs(url)
        self.requests = RequestFolder(folder / "labels")

    def start(self, *words: object) -> None:
        """A command until the end."""
        log = self._stack.enter_context((self.folder / f"{words[0]}.log").open("wb"))
        process = subprocess.Popen(_command(*words), stdout=log, stderr=log, env=self._environment)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def call(self, *words: object) -> None:
        """A command to its end."""
        out = subprocess.DEVNULL
        subprocess.run(_command(*words), check=True, stdout=out, env=self._environment)

    def training(self, number: int) -> JobState:
        """The training of that number, from 0, once it has ended."""
        while True:
            found = sorted(self.jobs.all(), key=lambda job: job.t_asked or 0.0)
            if len(found) > number and found[number].state not in ("waiting", "running"):
                return found[number]
            time.sleep(LOOK_S)


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "edgestream", *map(str, words)]


def begin(service: Service, task: Task, seed: int) -> None:
    """The first labels, and all parts of the service."""
    here = service.folder
    archive, models = ("--labels", here / "labels"), ("--models", here / "models")
    service.start("worker", *models)
    service.start("writer", "--out", here / "results")
    service.call("label", "push", here / FIRST_FILE, "--theory", "FDMNES", "--quiet")
    policy = ("--every-labels", task.batch, "--preset", PRESET, "--seed", seed)
    service.start("trainer", NAME, *archive, *models, *policy)
    service.start("ask", "--follow", "--model", NAME, *archive, *models, "--per-hour", PER_HOUR)
    service.start("labeller", *archive, "--at-once", 2, "--", THEORY, here / "theory")


class Producer:
    """Pushes what has no label, as one run after the other."""

    def __init__(self, service: Service, task: Task, frames: Indices) -> None:
        self._service, self._task, self._frames = service, task, frames
        self._pushed: dict[str, int] = {}  # name of a request -> which label

    def push(self, number: int) -> None:
        """A run of all frames that were not asked for."""
        asked = {self._pushed[request.name] for request in self._service.requests.all()}
        frames = np.array([i for i in self._frames if i not in asked])
        run_name = f"stream-{number}"
        self._pushed |= {f"{run_name} frame {k}": int(i) for k, i in enumerate(frames)}
        with edgestream.connect(self._service.url) as es, es.run(run_name, NAME) as run:
            for part in np.array_split(frames, 1 + len(frames) // 64):
                run.push(self._task.data.batch.take(part), absorbers=[[0]] * len(part))


def play_service(task: Task, seed: int) -> Iterator[Round]:
    """All rounds of a seed; each is told when its training has ended."""
    known, frames = task.drawn(seed)
    with tempfile.TemporaryDirectory(prefix="edgestream-loop-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        store_theory(task, folder / "theory")
        store_first(task, known, folder / FIRST_FILE)
        server = stack.enter_context(EmbeddedServer())
        service = Service(folder, server.url, stack)
        begin(service, task, seed)
        producer, store = Producer(service, task, frames), Store([folder / "models"], builtin=False)
        for number in range(1 + task.rounds):
            job = service.training(number)
            if job.state != "done":
                raise SystemExit(f"{job.id}: {job.state}: {job.error}")
            outcome = msgspec.convert(job.result, TrainingOutcome)
            done = round_of(task, store, outcome, SERVICE, seed)
            yield told(done)
            producer.push(number)
