"""A label as a job: the input of a theory code written, its command run, its output pushed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stream.allowed_job import Running
from stream.labels import Label
from stream.sources.label_files import read_labels_of_file
from stream.sources.label_options import LabelOptions, NoLabel
from stream.sources.theory_input import theory_input
from stream.storage import storage
from trainer.label_request import RequestFolder
from xas.errors import BadLabels, EdgestreamError

LABELLING = "label"
LOG = "log.txt"
LOOK_S, WORD_S = 0.2, 2.0


class TheoryFailed(EdgestreamError):
    """The command ended badly, took too long, or left no spectrum: it is tried again."""


class TheorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How labels are calculated.

    command   words, run in a folder that holds the program's input; no shell
    program   whose input is written: "feff" or "fdmnes"
    theory    level of theory of the labels; "": as the output says
    """

    command: list[str]
    program: str = "fdmnes"
    theory: str = ""
    radius_angstrom: float = 6.0
    energy_offset_ev: float = 0.0
    timeout_s: float = 6 * 3600.0


@dataclass
class LabellingTask:
    """Does "label" jobs; ``push`` hands the label over and returns when the server has it."""

    requests: RequestFolder
    settings: TheorySettings
    push: Callable[[Label], None]
    _group: int = 0

    def __call__(self, running: Running, *, request: str) -> dict[str, Any]:
        """Calculate and push one label. TheoryFailed: try again; BadLabels: that is of no use."""
        if not re.fullmatch(r"[0-9a-f]{16}", request):
            raise BadLabels(f"{request!r} is no id of a request")
        wanted = self.requests.read(request)
        files = theory_input(
            self.settings.program, wanted.structure(), wanted.edge, self.settings.radius_angstrom
        )
        folder = self.requests.attempt(request)
        with storage(folder):
            for name, text in files.items():
                (folder / name).write_text(text)
        self._run(running, folder)
        label = wanted.answered(self._found(folder), self.settings.theory or None)
        self.push(label)
        told = {"label": label.sha256, "folder": str(folder)}
        self.requests.answer(request, told)
        return told

    def _run(self, running: Running, folder: Path) -> None:
        with (folder / LOG).open("wb") as log:
            try:
                process = subprocess.Popen(
                    self.settings.command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # with all that it starts it can be ended
                )
            except OSError as error:
                raise BadLabels(f"{self.settings.command[0]}: {error.strerror}") from None
            self._group = process.pid
            try:
                self._watch(running, folder, process)
            finally:
                self.abandon()
                process.wait()
        if process.returncode:
            raise TheoryFailed(f"{folder}: ended with {process.returncode}: {_last(folder / LOG)}")

    def abandon(self) -> None:
        """End the command that runs, and all that it started; from any thread."""
        group, self._group = self._group, 0
        if group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _watch(self, running: Running, folder: Path, process: subprocess.Popen[bytes]) -> None:
        begun = time.monotonic()
        next_word = begun
        while process.poll() is None:
            now = time.monotonic()
            if now - begun > self.settings.timeout_s:
                raise TheoryFailed(f"{folder}: took longer than {self.settings.timeout_s:g} s")
            if now >= next_word:
                next_word = now + WORD_S
                running.report(folder=str(folder), seconds=round(now - begun))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)

    def _found(self, folder: Path) -> Label:
        options = LabelOptions(energy_offset_ev=self.settings.energy_offset_ev)
        found = list(read_labels_of_file(folder, options))
        for label in found:
            if not isinstance(label, NoLabel):
                return label
        raise TheoryFailed(f"{folder}: no spectrum: {'; '.join(n.reason for n in found)}")  # type: ignore[union-attr]


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def as_command(words: Sequence[str]) -> list[str]:
    """The words of a command; a relative path of a file that is here is made absolute."""
    return [str(Path(w).resolve()) if os.sep in w and Path(w).exists() else w for w in words]
