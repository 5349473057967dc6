"""The command line as its users meet it: real processes, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import edgestream
from edgestream.demo_command import demo_trajectory

DEMO = demo_trajectory()
N_FRAMES, N_ATOMS = 400, 17
# a run that takes its time: each block waits until the one before it is on disk
SLOWLY = ("--set", "block_atoms=170", "--set", "high_water_bytes=3000")
PATIENCE_S = 60.0


def call(*words: object, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it must end with ``code``, and never with a traceback."""
    done = subprocess.run(
        command(*words), capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "edgestream", *map(str, words)]


def complaint(*words: object, code: int = 2, **options: Any) -> str:
    """The one line in which a command refuses."""
    done = call(*words, code=code, **options)
    assert not done.stdout
    return the_line(done.stderr)


def the_line(stderr: str) -> str:
    """The one line on standard error with which a command ends."""
    lines = [line for line in stderr.splitlines() if line.startswith("edgestream: ")]
    assert len(lines) == 1, stderr
    return lines[0].removeprefix("edgestream: ")


@contextmanager
def started(*words: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command in the background, ended with SIGTERM if it still runs."""
    process = subprocess.Popen(
        command(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"stdin": subprocess.DEVNULL} | options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def ended(process: subprocess.Popen[str], how: int | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors, after a signal."""
    if how is not None:
        process.send_signal(how)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def frames_in(path: Path) -> int:
    """Frames in a result file that may be growing, or not there yet."""
    try:
        with edgestream.open_run(path) as run:
            return len(run)
    except edgestream.EdgestreamError:
        return 0


def text_of(frames: slice = slice(None)) -> str:
    """The text of some frames of the demo trajectory."""
    lines = DEMO.read_text().splitlines(keepends=True)
    size = N_ATOMS + 2
    chosen = range(N_FRAMES)[frames]
    return "".join("".join(lines[size * i : size * (i + 1)]) for i in chosen)


def processes_naming(word: object) -> list[int]:
    """Processes whose command line names something, without this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if str(word) in words and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


@contextmanager
def service(folder: Path, *words: object) -> Iterator[str]:
    """``edgestream serve`` in the background; gives its address."""
    with started("serve", "--out", folder, "--port", free_port(), *words) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("serving on "):
                yield line.split()[2].rstrip(",")
                return
        raise AssertionError("the service did not start")


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(url: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("status", "--redis-url", url, "--json").stdout)
    return found
