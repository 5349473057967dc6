"""Child processes that are kept running, told to drain, and never left behind.

Each child holds the end of a pipe on standard input and stops when it ends
(``StopSignal.follow_parent``): the kernel tells it even when this process is killed.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stream.log import heard
from stream.service import say
from xas.errors import Reject, StorageFailed, WorkerUnfit

RESTART_PAUSE_S = 0.5
GIVES_UP_AFTER = 5  # deaths in a row, each within HEALTHY_S of its start
HEALTHY_S = 10.0
DYING = "edgestream: "  # begins the line with which a command ends: told by whoever gives it up
FINAL_CODES = (Reject.exit_code, WorkerUnfit.exit_code, StorageFailed.exit_code)


@dataclass
class Child:
    """One role, filled by one process after another."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    last_words: str = ""
    failed: bool = False
    relay: threading.Thread | None = None
    starts: list[int] = field(default_factory=list)
    buried: int = 0


class Supervisor:
    """Starts children and starts them again; ``watch`` is to be called now and then.

    A child that says that the fault is not temporary (exit codes of Reject and Stop), or that dies
    again and again, is given up: ``failures`` tells why.
    """

    def __init__(self, *, tell: Callable[[str], None] = say) -> None:
        self._tell = tell
        self._children: list[Child] = []
        self._stopping = False

    def add(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Child:
        """Start one more child; ``environment`` is beside ours, and the place for its secrets."""
        child = Child(name, list(command), environment or {})
        self._children.append(child)
        self._start(child)
        return child

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            env={**os.environ, **child.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for us: children end when we let them
        )
        child.started_at = time.monotonic()
        child.starts.append(child.process.pid)
        child.last_words = ""
        child.relay = threading.Thread(target=self._relay, args=(child, child.process), daemon=True)
        child.relay.start()

    def _relay(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                child.last_words = heard(line.decode(errors="replace").rstrip())
                if not child.last_words.startswith(DYING):
                    self._tell(child.last_words)

    def watch(self) -> None:
        """Start again whoever died, after a pause."""
        if self._stopping:
            return
        for child in self._children:
            if child.process is None or child.failed or child.process.poll() is None:
                continue
            if child.relay is not None:
                child.relay.join(timeout=1.0)  # what it said last may still be on its way
            age = time.monotonic() - child.started_at
            if child.buried < len(child.starts):  # a death is counted once, however often we look
                child.buried = len(child.starts)
                child.deaths = 1 if age > HEALTHY_S else child.deaths + 1
                assert child.process.stdin is not None
                child.process.stdin.close()
            if child.process.returncode in FINAL_CODES or child.deaths >= GIVES_UP_AFTER:
                child.failed = True
            elif age > RESTART_PAUSE_S:
                self._tell(f"{child.name} ended ({_how(child)}): started again")
                self._start(child)

    def failures(self, prefix: str = "") -> list[str]:
        """Last words of children that were given up, of those whose name begins so."""
        return [
            child.last_words.removeprefix(DYING) or f"{child.name} cannot be kept running"
            for child in self._children
            if child.failed and child.name.startswith(prefix)
        ]

    def alive(self, prefix: str = "") -> int:
        """Children that are not given up."""
        return sum(c.name.startswith(prefix) and not c.failed for c in self._children)

    def pids(self, prefix: str = "") -> list[int]:
        """Process ids of the running children."""
        running = (c for c in self._children if c.process and c.process.poll() is None)
        return [c.process.pid for c in running if c.process and c.name.startswith(prefix)]

    def stop(self, *prefixes: str, timeout_s: float = 60.0) -> None:
        """Let children whose name begins so drain and end, all at once; by default all.

        What has not ended in time is killed.
        """
        self._stopping = True
        wanted = prefixes or ("",)
        chosen = [c for c in self._children if c.process and c.name.startswith(wanted)]
        for child in chosen:
            assert child.process is not None
            assert child.process.stdin is not None
            child.process.stdin.close()
        end = time.monotonic() + timeout_s
        for child in chosen:
            assert child.process is not None
            try:
                child.process.wait(timeout=max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._tell(f"{child.name} did not end within {timeout_s:g} s: killed")
                child.process.kill()
                child.process.wait()
            self._tell_last_words(child)
            child.process = None

    def _tell_last_words(self, child: Child) -> None:
        """Of one that failed while it was stopping: nobody asks for its failure any more."""
        if child.relay is not None:
            child.relay.join(timeout=1.0)
        if child.last_words.startswith(DYING) and not child.failed:
            self._tell(f"{child.name}: {child.last_words.removeprefix(DYING)}")


def _how(child: Child) -> str:
    assert child.process is not None
    code = child.process.returncode
    if child.last_words.startswith(DYING):
        return child.last_words.removeprefix(DYING)
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
