"""Slices of fuzzing, each a process; what kills one is an escape, and kept with its input."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from child import OURS
from journal import Journal

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATHS = (
    *(ROOT, HERE, *(ROOT / "tests" / name for name in ("", "sources", "result_file"))),
    os.environ.get("PYTHONPATH", ""),
)
WALL_S_FOR_EACH = 0.5  # a slice that takes longer hangs without using its processor
WALL_S = 300.0


@dataclass(kw_only=True)
class Count:
    """Inputs, how many of them were refused in order, ended a process of ours, or got through.

    cpu_s: processor time of all that, the start of its process included
    """

    target: str
    inputs: int = 0
    refused: int = 0
    contained: int = 0
    escaped: int = 0
    cpu_s: float = 0.0


def run_slice(
    target: str, runs: int, seed: int, escapes: Path, corpus: Path | None = None
) -> Count:
    """Feed a target; every escape lies in ``escapes`` with its input."""
    escapes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "journal", Path(folder) / "log"
        words = [target, "--runs", runs, "--seed", seed, "--journal", path, "--escapes", escapes]
        words += ["--corpus", corpus] if corpus else []
        command = [str(word) for word in (sys.executable, HERE / "child.py", *words)]
        before = _cpu_s()
        with log.open("wb") as out:
            code = _ended(command, out.fileno(), WALL_S + runs * WALL_S_FOR_EACH)
        journal = Journal(path)
        if why := no_escape(code):
            sys.exit(f"{why}, target {target}, seed {seed}, not counted:\n{_tail(log)}")
        count = Count(target=target, inputs=max(0, journal.inputs), refused=journal.refused)
        count.escaped, count.cpu_s = journal.escaped, _cpu_s() - before
        if code and not _ended([*command, "--whole"], subprocess.DEVNULL, WALL_S):
            count.contained += 1
        elif code:
            count.escaped += 1
            _keep(escapes, target, journal.in_hand, f"{_named(code)}\n{_tail(log)}")
    return count


def no_escape(code: int) -> str:
    """What ended a slice where that was no input; empty where it may have been one."""
    if code == OURS:
        return "the fuzzer itself failed"
    told = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return f"somebody stopped the fuzzer ({signal.Signals(-code).name})" if -code in told else ""


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ended(command: list[str], out: int, wall_s: float) -> int:
    env = {
        **os.environ,
        "PYTHONPATH": ":".join(map(str, PATHS)),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",  # a seed repeats a run
    }
    with subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=ROOT) as process:
        try:
            return process.wait(timeout=wall_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _named(code: int) -> str:
    if code == -signal.SIGPROF:
        return "hang: an input took all of its processor time"
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _keep(escapes: Path, target: str, data: bytes, why: str) -> None:
    name = "several" if "," in target else target
    path = escapes / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    path.with_name(path.name + ".txt").write_text(why)


def _tail(log: Path) -> str:
    return log.read_bytes()[-4000:].decode(errors="replace")
