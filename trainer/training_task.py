"""A training as a job: in a process of its own, which may be killed and goes on where it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from stream.allowed_job import Running
from stream.storage import storage
from trainer.orders import ORDER, OUTCOME, TrainingOrder, TrainingOutcome
from trainer.progress import Progress
from xas.errors import EdgestreamError, Reject

PROGRESS, LOG = "progress.json", "log.txt"
LOOK_S = 0.5
TRAINING = "train"


class TrainingFailed(EdgestreamError):
    """The process that trained ended without an outcome."""


class TrainingTask:
    """Does "train" jobs; ``command`` starts the process that carries out the order in a folder.

    Everything of a training lies in TRAININGS/ID: order, progress, log, report, outcome, and what
    was fitted so far, with which it goes on after a kill.
    """

    def __init__(self, trainings: Path, command: Sequence[str]) -> None:
        self._trainings, self._command = trainings, list(command)

    def __call__(self, running: Running, **order: Any) -> dict[str, Any]:
        """Train, reporting progress; the outcome. Reject where the order cannot be carried out."""
        wanted = _order_of(order)
        folder = self._trainings / wanted.id
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / ORDER, msgspec.json.encode(wanted))
            (folder / OUTCOME).unlink(missing_ok=True)
        with (folder / LOG).open("ab") as log, self._process(folder, log) as process:
            try:
                self._watch(running, folder, process)
            finally:
                end(process)
        return self._outcome(folder, process.returncode)

    def _process(self, folder: Path, log: Any) -> subprocess.Popen[bytes]:
        """It ends with its standard input, whose other end we hold: no orphan trains on."""
        return subprocess.Popen(
            [*self._command, str(folder)], stdin=subprocess.PIPE, stdout=log, stderr=log
        )

    def _watch(self, running: Running, folder: Path, process: subprocess.Popen[bytes]) -> None:
        next_word = 0.0
        while process.poll() is None:
            if time.monotonic() >= next_word:
                next_word = time.monotonic() + 2.0
                running.report(folder=str(folder), **read_progress(folder))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)

    def _outcome(self, folder: Path, code: int) -> dict[str, Any]:
        try:
            data = (folder / OUTCOME).read_bytes()
        except FileNotFoundError:
            lines = (folder / LOG).read_text(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {code}"
            kind = Reject if code == Reject.exit_code else TrainingFailed
            raise kind(f"{folder.name}: {said}") from None
        return msgspec.json.decode(data, type=TrainingOutcome).as_json()


def _order_of(arguments: dict[str, Any]) -> TrainingOrder:
    try:
        order = msgspec.convert(arguments, TrainingOrder)
    except msgspec.ValidationError as error:
        raise Reject(f"no order of a training: {error}") from None
    order.require_sense()
    return order


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that has not ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all, whoever is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def write_progress(folder: Path, progress: Progress) -> None:
    """Leave word of how far the training in a folder is."""
    found = {
        "stage": progress.stage,
        "epochs": progress.done,
        "of_epochs": progress.total,
        "loss": round(progress.loss, 6) if isfinite(progress.loss) else None,
        "left_s": round(progress.left_s, 1),
    }
    write_whole(folder / PROGRESS, msgspec.json.encode(found))


def read_progress(folder: Path) -> dict[str, Any]:
    """What was left; nothing where it has not come so far."""
    try:
        found: dict[str, Any] = msgspec.json.decode((folder / PROGRESS).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found
