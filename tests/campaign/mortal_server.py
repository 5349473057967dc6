"""A server whose data can be cut, aged and lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from pathlib import Path

from ports import free_port
from shim import Shim

from edgestream.embedded import find_server
from stream.redis_connection import RedisConnection
from xas.errors import Retry

CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir "{data}"
logfile "{log}"
appendonly yes
appendfsync everysec
save ""
maxmemory 2gb
maxmemory-policy noeviction
daemonize no
"""


class MortalServer:
    """Configured as our own server is; one process, so that a signal reaches it and nobody else."""

    def __init__(self, folder: Path, data: Path, shim: Shim) -> None:
        self.port, self.data, self._shim = free_port(), data, shim
        self._binary = find_server()
        self._configuration = folder / "server.conf"
        self.log = folder / "server.log"
        self._past: deque[tuple[float, Path, int]] = deque(maxlen=100)
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self.data.mkdir(exist_ok=True)
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers, however long it reads its data."""
        words = {"port": self.port, "data": self.data, "log": self.log}
        self._configuration.write_text(CONFIGURATION.format(**words))
        self._process = subprocess.Popen(
            [self._binary, self._configuration], env=self._shim.environment()
        )
        connection = RedisConnection(self.url)
        end = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, self.log.read_text()[-2000:]
            try:
                connection.facts("server")
                break
            except Retry:
                assert time.monotonic() < end, self.log.read_text()[-2000:]
                time.sleep(0.01)
        connection.close()

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=60)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        self._over.set()
        if self._process is not None:
            self.end()

    # -- its data ---------------------------------------------------------------------------------

    def empty(self) -> None:
        shutil.rmtree(self.data / "appendonlydir", ignore_errors=True)

    def cut(self, draw: float) -> None:
        """The append-only file ends at any of its bytes."""
        path, size = self._newest()
        _truncate(path, int(draw * size))

    def age(self, seconds: float) -> None:
        """The append-only file ends where it ended so long ago."""
        path, size = self._newest()
        then = time.monotonic() - seconds
        known = [old for at, file, old in self._past if file == path and at <= then]
        _truncate(path, min(known[-1] if known else 0, size))

    def _newest(self) -> tuple[Path, int]:
        files = list((self.data / "appendonlydir").glob("*.incr.aof"))
        newest = max(files, key=lambda path: int(path.name.split(".")[-3]))
        return newest, newest.stat().st_size

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            try:
                self._past.append((time.monotonic(), *self._newest()))
            except (OSError, ValueError):
                continue


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
