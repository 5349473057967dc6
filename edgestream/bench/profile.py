"""Where the time of each process goes, function by function: py-spy looks on from outside."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from xas.errors import Reject

RATE_HZ = 250
SETTLE_S = 0.5  # until py-spy has found its process and samples it
FUNCTIONS_SHOWN = 14
_OURS = ("edgestream", "model_store", "stream", "workers", "xas")

Profile = dict[str, Counter[str]]
"""Samples by process, then by function: the innermost one of this project that was at work."""


@contextmanager
def profiled(pids: Mapping[str, int]) -> Iterator[Profile]:
    """Sample the processes during the block; the result is there when it has ended."""
    spy = _py_spy()
    found: Profile = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        files = {role: Path(folder) / role for role in pids}
        for role, pid in pids.items():
            ending.callback(_end, _start(spy, pid, files[role]))
        time.sleep(SETTLE_S)
        yield found
        ending.close()
        for role, file in files.items():
            found[role] = own_functions(file.read_text()) if file.exists() else Counter()


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise Reject("--profile looks on with py-spy: pip install 'edgestream[bench]'")
    return found


def _start(spy: str, pid: int, file: Path) -> subprocess.Popen[bytes]:
    words = [
        "record",
        "--pid",
        str(pid),
        "--format",
        "raw",
        "--nolineno",
        "--full-filenames",
        "--nonblocking",
    ]
    return subprocess.Popen(
        [spy, *words, "--rate", str(RATE_HZ), "--output", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(spy: subprocess.Popen[bytes]) -> None:
    spy.send_signal(signal.SIGINT)  # on which it writes what it has seen
    spy.wait(timeout=30)


def own_functions(folded: str) -> Counter[str]:
    """Count samples by the innermost function of ours; what it calls elsewhere is its own."""
    roots = {_root(name): name for name in _OURS}
    counts: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, n = line.rpartition(" ")
        names = [name for frame in stack.split(";") if (name := _own(frame, roots))]
        counts[names[-1] if names else "(outside)"] += int(n)
    return counts


def _root(package: str) -> str:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return f"{Path(spec.origin).parent}/"


def _own(frame: str, roots: Mapping[str, str]) -> str:
    function, _, where = frame.partition(" (")
    for root, package in roots.items():
        if where.startswith(root):
            return f"{package}/{where.removeprefix(root).rstrip(')')} {function}"
    return ""
