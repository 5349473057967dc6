"""How soon it is there: help, one prediction, a server."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure
from edgestream.demo_command import demo_trajectory
from edgestream.embedded import EmbeddedServer
from stream.sources.trajectory import open_trajectory


def measure_start(request: Request) -> Section:
    """CPU of two commands, each a fresh process, and the time until a server answers."""
    with tempfile.TemporaryDirectory(prefix="edgestream-bench-") as folder:
        structure = _one_structure(Path(folder))
        commands = {"help": ["--help"], "predict": ["predict", str(structure), "--json"]}
        figures = {
            f"{name}_cpu_ms": _cpu_ms(words, request.samples) for name, words in commands.items()
        }
    figures["server_up_ms"] = Figure.of([_server_up_ms() for _ in range(request.samples)])
    used = {"start": f"python {sys.version.split()[0]}, files of the program in the page cache"}
    return Section(figures=figures, used=used)


def _one_structure(folder: Path) -> Path:
    """The first frame of the demo as a file of its own."""
    with open_trajectory(demo_trajectory()) as source:
        n_atoms = next(iter(source)).structures[:1].n_atoms
    path = folder / "structure.xyz"
    lines = demo_trajectory().read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: n_atoms + 2]))
    return path


def _cpu_ms(words: list[str], repeat: int) -> Figure:
    """User and system time of a command of ours from its start to its end; the first is left out.

    The first call finds its files cold.
    """
    command = [sys.executable, "-m", "edgestream", *words]
    return Figure.of([_child_cpu_s(command) for _ in range(repeat + 1)][1:]).scaled(1e3)


def _child_cpu_s(command: list[str]) -> float:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return used.ru_utime + used.ru_stime


def _server_up_ms() -> float:
    started = time.perf_counter()
    with EmbeddedServer():
        return 1e3 * (time.perf_counter() - started)
