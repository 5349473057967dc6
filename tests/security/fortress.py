"""A server with users, and TLS where it can, and processes that log in as one of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ports import free_port

from edgestream.embedded import find_server
from edgestream.passwords import complete_url, make_password
from stream.acl import ROLES, acl_lines
from stream.redis_connection import RedisConnection
from stream.scripts import load_missing
from stream.settings import Settings
from xas.errors import ServerUnreachable

SETTINGS = Settings(lease_s=2.0)
PATIENCE_S = 60.0


@dataclass
class Fortress:
    """Only who has a password, and a certificate where TLS is spoken, is let in."""

    folder: Path
    binary: str
    tls: bool
    port: int = field(default_factory=free_port)
    passwords: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tls:
            make_certificates(self.folder)
        for role in ROLES:
            self.passwords[role] = make_password(self.folder / "passwords" / role)
        lines = list(acl_lines(self.passwords, SETTINGS))
        (self.folder / "users.acl").write_text("\n".join(lines) + "\n")
        (self.folder / "server.conf").write_text("\n".join(self._configuration()) + "\n")
        self.start()

    def _configuration(self) -> Iterator[str]:
        yield f'aclfile "{self.folder}/users.acl"\ndir "{self.folder}"\nbind 127.0.0.1\nsave ""'
        yield "appendonly yes"
        if not self.tls:
            yield f"port {self.port}"
            return
        yield f"port 0\ntls-port {self.port}\ntls-ca-cert-file {self.folder}/ca.pem"
        yield f"tls-cert-file {self.folder}/server.pem\ntls-key-file {self.folder}/server.key"
        yield "tls-auth-clients yes"

    def start(self, *, load: bool = True) -> None:
        command = [self.binary, str(self.folder / "server.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.connect_as_operator(load=load)
                return
            except ServerUnreachable:
                assert self._process.poll() is None, "the server does not take its configuration"
                assert time.monotonic() < end, "no server"
                time.sleep(0.05)

    def connect_as_operator(self, *, load: bool) -> None:
        server = self.connection("operator")
        try:
            server.command("PING")
            if load:
                load_missing(server)
        finally:
            server.close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def url(self, role: str, *, certificate: bool = True) -> str:
        """As users write it: the password is in a file."""
        words = [f"password_file={self.folder}/passwords/{role}"]
        if self.tls:
            words.append(f"ssl_ca_certs={self.folder}/ca.pem")
        if self.tls and certificate:
            words += [f"ssl_certfile={self.folder}/client.pem"]
            words += [f"ssl_keyfile={self.folder}/client.key"]
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{role}@localhost:{self.port}?{'&'.join(words)}"

    def connection(self, role: str) -> RedisConnection:
        return RedisConnection(complete_url(self.url(role)))

    @contextmanager
    def process(self, role: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
        """A command of ours that logs in as a role."""
        log = self.folder / f"{words[0]}.log"
        command = [sys.executable, "-m", "edgestream", *map(str, words)]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*command, "--redis-url", self.url(role)],
                stderr=out,
                stdout=out,
                env={**os.environ, "COLUMNS": "200"},
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def make_certificates(folder: Path) -> None:
    """An authority of our own, a certificate for the server, one for clients, and a stranger's."""
    for authority in ("ca", "stranger"):
        openssl(folder, f"req -x509 -newkey rsa:2048 -nodes -keyout {authority}.key -days 2 "
                f"-subj /CN={authority} -out {authority}.pem")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for name in ("server", "client"):
        openssl(folder, f"req -newkey rsa:2048 -nodes -keyout {name}.key -subj /CN={name} "
                f"-out {name}.csr")  # fmt: skip
        openssl(folder, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
                f"-days 2 -extfile names -out {name}.pem")  # fmt: skip


def openssl(folder: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)


def bundled() -> str:
    return str(find_server())


def tools_are_there() -> bool:
    return all(map(shutil.which, ("redis-server", "openssl")))
