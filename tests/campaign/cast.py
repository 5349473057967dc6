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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shim import Shim

LOOK_S = 0.02


@dataclass
class Actor:
    """One role; ``command`` starts it again after every death until it ends well.

    A process waits for a byte on standard input before it plays. With ``understudied`` the next one
    has loaded its libraries already: a campaign is about faults, not about how Python starts.
    """

    name: str
    command: list[str]
    shim: Shim
    log: Path
    surroundings: Mapping[str, str]
    understudied: bool
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    done: bool = False
    last_start: float = 0.0
    _next: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.last_start = time.monotonic()
        self.starts += 1
        ready = self._next if self._next is not None and self._next.poll() is None else None
        self.process = ready or self._spawn()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # killed while it waited: it is seen soon
            self.process.stdin.write(b"!")
            self.process.stdin.flush()
        self._next = self._spawn() if self.understudied else None

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            # standard input ends with the campaign: nobody stays behind
            return subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=log,
                env={**self.shim.environment(), **self.surroundings}, start_new_session=True,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        process = self.process  # the next one may be there before this one is waited for
        if process is not None:
            process.kill()
            process.wait()

    def end(self) -> None:
        """Nobody of this role is left."""
        for process in filter(None, (self.process, self._next)):
            bury(process)


def bury(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


@dataclass
class Cast:
    """Everybody, and who sees that they play; ``exits`` counts how they ended by themselves."""

    folder: Path
    surroundings: Mapping[str, str]  # variables of everybody's environment
    understudied: bool = True
    actors: dict[str, Actor] = field(default_factory=dict)
    exits: Counter[str] = field(default_factory=Counter)
    _zombies: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def add(self, name: str, command: list[str]) -> None:
        words = [sys.executable, *command]
        shim, log = Shim(self.folder, name), self.folder / f"{name}.log"
        actor = Actor(name, words, shim, log, self.surroundings, self.understudied)
        actor.start()
        with self._lock:
            self.actors[name] = actor

    def named(self, kind: str) -> list[Actor]:
        return [actor for name, actor in self.actors.items() if name.startswith(kind)]

    @property
    def crashed(self) -> int:
        """How often somebody ended with a traceback, or said that it cannot work at all."""
        return sum(n for name, n in self.exits.items() if name.endswith((" 1", " 2")))

    @contextlib.contextmanager
    def holding(self, name: str) -> Iterator[Actor]:
        """Nobody is started meanwhile."""
        with self._lock:
            yield self.actors[name]

    def kill_all(self, name: str) -> None:
        """Also those whose place another has taken."""
        for process in [zombie for whose, zombie in self._zombies if whose == name]:
            process.kill()
            process.wait()
        self.actors[name].kill()

    def double(self, name: str) -> subprocess.Popen[bytes]:
        """Start the same role beside itself; the first is nobody's any more, and is given back."""
        with self._lock:
            actor = self.actors[name]
            assert actor.process is not None
            first = actor.process
            self._zombies.append((name, first))
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
            bury(actor.process)
            actor.start()

    def close(self) -> None:
        self._over.set()
        self._watcher.join()
        for _, process in self._zombies:
            bury(process)
        for actor in self.actors.values():
            actor.end()
