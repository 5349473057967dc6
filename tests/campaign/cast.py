"""The processes of a campaign: started, killed, stopped, and started again when they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from shim import Shim

LOOK_S = 0.02


@dataclass
class Actor:
    """One role; ``command`` starts it again after every death until it ends well."""

    name: str
    command: list[str]
    shim: Shim
    log: Path
    process: subprocess.Popen[bytes] | None = None
    done: bool = False
    last_start: float = 0.0

    def start(self) -> None:
        self.last_start = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self.process.stdin.close()  # type: ignore[union-attr]
        with self.log.open("ab") as log:
            # standard input ends with the campaign: nobody stays behind
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=log,
                env=self.shim.environment(), start_new_session=True,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


@dataclass
class Cast:
    """Everybody, and who sees that they play; ``exits`` counts how they ended by themselves."""

    folder: Path
    actors: dict[str, Actor] = field(default_factory=dict)
    exits: Counter[str] = field(default_factory=Counter)
    _zombies: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def add(self, name: str, command: list[str]) -> None:
        words = [sys.executable, *command]
        actor = Actor(name, words, Shim(self.folder, name), self.folder / f"{name}.log")
        actor.start()
        with self._lock:
            self.actors[name] = actor

    def named(self, kind: str) -> list[Actor]:
        return [actor for name, actor in self.actors.items() if name.startswith(kind)]

    def double(self, name: str) -> subprocess.Popen[bytes]:
        """Start the same role beside itself; the first is nobody's any more, and is given back."""
        with self._lock:
            actor = self.actors[name]
            assert actor.process is not None
            first = actor.process
            self._zombies.append(first)
            actor.start()
        return first

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                for actor in self.actors.values():
                    self._see(actor)

    def _see(self, actor: Actor) -> None:
        if actor.done or actor.alive:
            return
        assert actor.process is not None
        code = actor.process.returncode
        actor.done = code == 0 and actor.name.startswith("producer")
        if code != -signal.SIGKILL:
            self.exits[f"{actor.name.split('-')[0]} {code}"] += 1
        if not actor.done and time.monotonic() - actor.last_start > 0.2:
            actor.start()

    def close(self) -> None:
        self._over.set()
        self._watcher.join()
        for process in [*self._zombies, *(a.process for a in self.actors.values() if a.process)]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
