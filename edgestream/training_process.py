"""The trainer as processes: the service, the one that does its jobs, and each training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from edgestream.attendance import stop_signal
from edgestream.models import open_store
from edgestream.recorders import serve_gauges
from stream.jobs import Jobs
from stream.redis_label_stream import RedisLabelStream
from stream.service import run_until_stopped, say
from stream.settings import Settings
from stream.url_secrets import shown
from trainer.archivist import Archivist
from trainer.label_archive import LabelArchive
from trainer.orders import ORDER, OUTCOME, TrainingOrder
from trainer.policy import Policy
from trainer.service import TrainerService
from trainer.training_task import TRAINING, TrainingTask, end, write_progress, write_whole
from trainer.workshop import CHECKPOINTS, Workshop

TRAININGS = "trainings"
URL = "EDGESTREAM_JOBS_URL"
RESTART_S = 2.0


class JobsProcess:
    """The process that does the jobs; begun again where it dies."""

    def __init__(self, url: str, words: list[str], **environment: str) -> None:
        self._command = [sys.executable, "-m", "edgestream.child", *words]
        self._environment = {**os.environ, URL: url, **environment}  # a URL may hold a password
        self._process = self._begun()
        self._next = 0.0

    def _begun(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, env=self._environment)

    def keep(self) -> None:
        """Begin it again where it has ended."""
        if self._process.poll() is not None and time.monotonic() >= self._next:
            say(f"the process of the jobs ended with {self._process.returncode}: begun again")
            self._next = time.monotonic() + RESTART_S
            self._process = self._begun()

    def close(self) -> None:
        """End it; a training that it does goes on from what was fitted, next time."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        end(self._process)


def run_trainer(
    url: str,
    jobs_url: str,
    archive: Path,
    *,
    name: str,
    policy: Policy,
    theory: str | None,
    preset: str,
    changes: dict[str, int | bool],
    models: str | None,
    settings: Settings,
    metrics: str | None = None,
) -> None:
    """The service until stopped. Fenced where another one archives already.

    ServerUnreachable at once where nobody answers for the jobs.
    """
    stop = stop_signal(follow_parent=False)
    stream, jobs = RedisLabelStream(url, settings), Jobs(jobs_url)
    jobs.recover()  # a server that is away is said at once; later it is waited for
    archivist = Archivist(stream, archive)
    serve_gauges("trainer", metrics, {("archived_labels", ""): lambda: len(archivist.archive)})
    words = ["jobs", "--out", str(archive), *([] if models is None else ["--models", models])]
    process = JobsProcess(jobs_url, words)
    service = TrainerService(
        archivist=archivist,
        store=open_store(models),
        jobs=jobs,
        name=name,
        policy=policy,
        theory=theory,
        preset=preset,
        changes=changes,
        tell=say,
    )
    say(f"trainer: {len(archivist.archive)} labels in {archive}, jobs on {shown(jobs_url)}")

    def step() -> None:
        process.keep()
        service.step()

    try:
        run_until_stopped(step, stop, name="trainer")
    finally:
        process.close()
        archivist.close()
        jobs.close()
        stream.close()


def do_jobs(archive: Path, models: str | None) -> None:
    """Do the jobs of $EDGESTREAM_JOBS_URL, until told to stop."""
    command = [sys.executable, "-m", "edgestream.child", "training"]
    command += [] if models is None else ["--models", models]
    task = TrainingTask(archive / TRAININGS, [*command, "--out"])
    Jobs(os.environ[URL], {TRAINING: task}).work()


def do_training(folder: Path, models: str | None, who: str) -> None:
    """Carry out the order in a folder of an archive, and leave the outcome there."""
    _end_with_parent()
    order = msgspec.json.decode((folder / ORDER).read_bytes(), type=TrainingOrder)
    workshop = Workshop(LabelArchive(folder.parents[1]), open_store(models), who=who)
    outcome = workshop.carry_out(order, folder, lambda done: write_progress(folder, done))
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    write_whole(folder / OUTCOME, msgspec.json.format(msgspec.json.encode(outcome), indent=1))


def _end_with_parent() -> None:
    """SIGTERM, or the end of standard input: whoever asked for this training is gone."""

    def end_at_once() -> None:
        while os.read(0, 4096):
            pass
        os._exit(143)  # nothing is open that is not written whole

    threading.Thread(target=end_at_once, daemon=True, name="parent").start()
