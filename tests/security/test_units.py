"""The processes that deploy/systemd describes: their command lines and logins, run as they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ports import free_port

import edgestream
from edgestream.demo_command import demo_trajectory

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PARTS = ("redis", "worker@", "writer", "exporter", "dashboard")


class Host:
    """A folder in place of /etc and /var, free ports in place of those of the units."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {port: str(free_port()) for port in ("6379", "9400", "9401", "8050")}
        self._program = folder / "edgestream"
        self._program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgestream "$@"\n')
        self._program.chmod(0o755)

    def text(self, part: str) -> str:
        """A unit as it would be on this host."""
        text = (UNITS / f"edgestream-{part}.service").read_text().replace("%i", "1")
        text = text.replace("/opt/edgestream/bin/edgestream", str(self._program))
        text = re.sub(r"/(etc|var/lib)/edgestream", str(self.folder), text)
        redis = shutil.which("redis-server") or ""
        text = text.replace("/usr/bin/redis-server", redis)
        return re.sub(r"\b(6379|9400|9401|8050)\b", lambda port: self._ports[port[1]], text)

    def url(self, role: str) -> str:
        secret = self.folder / "secrets" / role
        return f"redis://{role}@127.0.0.1:{self._ports['6379']}?password_file={secret}"

    def call(self, *words: str) -> str:
        done = subprocess.run(
            [self._program, *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, part: str) -> Iterator[None]:
        text = self.text(part)
        (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        named = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
        with (self.folder / f"{part}.log").open("wb") as log:
            process = subprocess.Popen(
                command.split(), env=os.environ | named, stdout=log, stderr=log
            )
        try:
            yield
            assert process.poll() is None, (self.folder / f"{part}.log").read_text()
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server here")
def test_the_processes_of_the_units_serve_a_run_with_the_login_of_their_roles(
    tmp_path: Path,
) -> None:
    host = Host(tmp_path)
    (tmp_path / "server").mkdir()
    acl = host.call("acl", "--passwords", str(tmp_path / "secrets"), "--create")
    (tmp_path / "users.acl").write_text(acl)
    with ExitStack() as service:
        for part in PARTS:
            service.enter_context(host.running(part))
        words = ("--every", "20", "--redis-url", host.url("producer"))
        host.call("push", str(demo_trajectory()), "--run", "md", *words)
        file = tmp_path / "results" / "md.h5"
        end = time.monotonic() + 60
        while not file.exists() or len(edgestream.open_run(file)) < 20:
            assert time.monotonic() < end, "the run was not written"
            time.sleep(0.1)
