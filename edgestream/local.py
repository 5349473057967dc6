"""A whole service on one machine: server, workers and writer, started and stopped together."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edgestream.dashboard.page_options import PageOptions
from edgestream.embedded import EmbeddedServer, require_free
from edgestream.passwords import jobs_server, port_password
from edgestream.recorders import next_address, serve_exporter
from edgestream.settings_words import DEFAULTS, settings_as_options
from stream.log import LOG_VARIABLE, speaks_json
from stream.redis_broker import RedisBroker
from stream.service import say
from stream.settings import Settings
from stream.supervisor import Supervisor, cores
from stream.url_secrets import shown
from xas.errors import Reject, Retry

OTHERS_GRACE_S = 1.5
URL_VARIABLE = "EDGESTREAM_URL"


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """What to start. ``url`` None: a server of our own; ``workers`` None: as many as fit here.

    ``port`` 0: our own server is for this user's processes only. ``out`` None: no writer of ours.
    On somebody else's server only what is missing is started. ``metrics``: the address of this
    process's metrics; the writer has the port after it, the workers those that follow. ``page``
    None: no live page.
    """

    url: str | None = None
    out: Path | None = None
    workers: int | None = None
    device: str = "cpu"
    models: str | None = None
    server: str | None = None
    data_dir: Path | None = None
    port: int = 0
    page: PageOptions | None = None
    settings: Settings = DEFAULTS
    metrics: str | None = None


class LocalService:
    """Starts what the options ask for; everything ends with this process, however it ends."""

    def __init__(self, options: ServiceOptions, *, tell: Callable[[str], None] = say) -> None:
        self.options = options
        self._tell = tell
        self._server: EmbeddedServer | None = None
        self._supervisor = Supervisor(tell=tell)
        self._given_up: dict[str, int] = {}
        self.url = options.url or ""
        self._broker: RedisBroker | None = None

    @property
    def shown_url(self) -> str:
        """Where the server is, for people: without login and password."""
        return shown(self.url)

    @property
    def broker(self) -> RedisBroker:
        """The broker, once started."""
        assert self._broker is not None, "start the service first"
        return self._broker

    @property
    def server(self) -> EmbeddedServer | None:
        """The server, where it is ours."""
        return self._server

    def start(self) -> Self:
        """Start; whatever was started is stopped again where a part fails."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        o = self.options
        if o.url is None:
            self._server = self._own_server()
            self._server.start()
            self.url = self._server.url
        self._broker = RedisBroker(self.url, o.settings)
        self._broker.check_version()
        if o.metrics is not None:
            serve_exporter(self._broker, o.metrics, self.url, jobs_server())
        if o.url is not None and o.out is not None:
            self._wait_for_others()  # a service that is just starting has its parts soon
        if o.out is not None and not all(s.writer_alive for s in self._broker.shards()):
            self.start_writer(o.out)
        for number in range(self._workers_to_start()):
            self.start_worker(number)
        if o.page is not None:
            self.start_page(o.page)

    def is_ready(self) -> bool:
        """Whether a writer is at work, and a worker unless none was asked for."""
        has_workers = self.options.workers == 0 or bool(self.broker.workers())
        return has_workers and all(s.writer_alive for s in self.broker.shards())

    def _wait_for_others(self) -> None:
        end = time.monotonic() + OTHERS_GRACE_S
        while not self.is_ready() and time.monotonic() < end:
            time.sleep(0.05)

    def _own_server(self) -> EmbeddedServer:
        o = self.options
        if o.port:
            require_free(o.port)
        try:
            password = port_password(o.port) if o.port else ""
            return EmbeddedServer(
                server=o.server, data_dir=o.data_dir, port=o.port, password=password
            )
        except OSError as error:
            raise Reject(
                f"--data-dir {o.data_dir}: no folder for the server's data ({error.strerror})"
            ) from None

    def _workers_to_start(self) -> int:
        if self.options.workers is not None:
            return self.options.workers
        if self.options.url is not None and self.broker.workers():
            return 0
        return max(1, cores() - 1)

    def start_writer(self, out: Path) -> None:
        """Start the writer of the one shard."""
        self._add("writer", [*self._command("writer"), "--out", str(out)], 1)

    def start_worker(self, number: int) -> None:
        """Start one more worker."""
        command = [*self._command("worker"), "--device", self.options.device]
        if self.options.models is not None:
            command += ["--models", str(self.options.models)]
        self._add(f"worker {number}", [*command, "--name", f"w{number}"], 2 + number)

    def start_page(self, page: PageOptions) -> None:
        """Start the live page; frames travel without it, so nothing ends where it fails."""
        command = [*self._command("page"), *page.words(), "--out", str(self.options.out or ".")]
        if self.options.models is not None:
            command += ["--models", str(self.options.models)]
        # it shows where the server is: where others reach it, if they do
        own = self._server
        self._add("page", command, url=own.tcp_url if own is not None and own.port else self.url)

    def _add(
        self, name: str, command: list[str], ports_on: int | None = None, url: str = ""
    ) -> None:
        if self.options.metrics is not None and ports_on is not None:
            command += ["--metrics-port", next_address(self.options.metrics, ports_on)]
        # everybody on this machine can read a command line; an environment only its own user
        log = {LOG_VARIABLE: "json"} if speaks_json() else {}
        self._supervisor.add(name, command, {URL_VARIABLE: url or self.url, **log})

    def _command(self, role: str) -> list[str]:
        command = [sys.executable, "-m", "edgestream.child", role]
        return [*command, *settings_as_options(self.options.settings)]

    def watch(self) -> None:
        """Start again who died; raise where a part cannot be kept running."""
        if self._server is not None and not self._server.running:
            raise ServiceFailed("our own server has ended; --resume goes on from the file")
        self._supervisor.watch()
        for role in ("writer", "worker", "page"):
            failures = self._supervisor.failures(role)
            if role == "writer" and failures and all(s.writer_alive for s in self.broker.shards()):
                continue  # another writer was there first
            if failures and role != "page" and not self._supervisor.alive(role):
                raise ServiceFailed(failures[-1])
            for words in failures[self._given_up.get(role, 0) :]:
                self._tell(f"{role} given up: {words}")
            self._given_up[role] = len(failures)

    def pids(self, role: str = "") -> list[int]:
        """Process ids of our writer and workers."""
        return self._supervisor.pids(role)

    def stop(self) -> None:
        """Workers finish the batch in hand, the writer what is in the stream, then all end."""
        if self._is_idle():
            self._supervisor.stop("worker", "writer", "page")
        else:
            self._supervisor.stop("worker")
            self._supervisor.stop("writer")
            self._supervisor.stop("page")
        if self._broker is not None:
            self._broker.close()
        if self._server is not None:
            self._server.stop()

    def _is_idle(self) -> bool:
        """Whether every run is on disk, so that no part has to wait for another."""
        try:
            return self._broker is not None and all(run.finished for run in self._broker.runs())
        except Retry:
            return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class ServiceFailed(Retry):
    """The server, a worker or the writer cannot be kept running; its last words say why."""
