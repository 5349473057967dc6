"""Who may listen, who may read, and where a password may be seen: nowhere."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fortress import SETTINGS, Fortress
from ports import free_port

from edgestream.demo_command import demo_trajectory
from edgestream.embedded import EmbeddedServer
from edgestream.passwords import FILE_VARIABLE, complete_url, make_password, url_of_option
from edgestream.settings_words import settings_as_options
from stream.redis_connection import RedisConnection
from stream.url_secrets import shown
from xas.errors import Reject, ServerUnreachable

SECRET = "hunter2-hunter2-hunter2"


def until(done: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def family(pid: int) -> list[int]:
    """A process, its children, and theirs."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(word) for task in tasks for word in task.read_text().split()]
    return [pid, *(p for child in children for p in family(child))]


@pytest.mark.processes
def test_no_command_line_log_or_output_holds_a_password(fortress: Fortress, tmp_path: Path) -> None:
    password = fortress.passwords["operator"]
    command = [sys.executable, "-m", "edgestream", "--debug", "run", str(demo_trajectory())]
    command += ["-o", str(tmp_path / "md.h5"), "--workers", "1", *settings_as_options(SETTINGS)]
    command += ["--redis-url", fortress.url("operator")]
    seen, pids = "", set[int]()
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        while process.poll() is None:
            for pid in family(process.pid):
                pids.add(pid)
                with contextlib.suppress(OSError):  # it went while we looked
                    seen += (Path("/proc") / str(pid) / "cmdline").read_bytes().decode()
            time.sleep(0.02)
    assert process.returncode == 0, log.read_text()
    assert len(pids) >= 3, "the command, a worker and a writer"
    assert password not in seen
    assert password not in log.read_text()
    assert password.encode() not in (tmp_path / "md.h5").read_bytes()


@pytest.mark.processes
@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize(
    "login", [f"redis://u:{SECRET}@127.0.0.1:1", f"redis://127.0.0.1:1?password={SECRET}",
              f"redis://u:{SECRET}/x@127.0.0.1:1", f"redis://u:{SECRET}@127.0.0.1:nonsense",
              f"redis://u:{SECRET}@[::1"],
)  # fmt: skip
def test_no_complaint_repeats_a_password(login: str, debug: list[str]) -> None:
    command = [sys.executable, "-m", "edgestream", *debug, "status"]
    by_option = subprocess.run([*command, "--redis-url", login], capture_output=True, text=True)
    by_environment = subprocess.run(
        command, env={**os.environ, "EDGESTREAM_URL": login}, capture_output=True, text=True
    )
    for done in (by_option, by_environment):
        assert done.returncode != 0
        assert "hunter2" not in done.stdout + done.stderr


def test_a_password_in_an_option_is_refused_with_the_remedy() -> None:
    with pytest.raises(Reject, match=r"EDGESTREAM_URL.*password_file"):
        url_of_option(f"redis://u:{SECRET}@h")


def test_a_password_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    password = make_password(tmp_path / "p")
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o600
    url = f"rediss://u@h:1/2?ssl_ca_certs=/ca&password_file={tmp_path}/p"
    assert complete_url(url) == f"rediss://u:{password}@h:1/2?ssl_ca_certs=/ca"
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "p"))
    assert complete_url("redis://h") == f"redis://:{password}@h"
    assert complete_url("unix:///s?db=1") == f"unix://:{password}@/s?db=1"
    assert complete_url("redis://u:own@h") == "redis://u:own@h"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"redis://u:{SECRET}@h:1", "redis://h:1"),
        (f"redis://u:{SECRET}@x/y@h:1", "redis://h:1"),
        (f"unix:///s?username=u&password={SECRET}&db=1", "unix:///s?db=1"),
        (f"unix:///s?password={SECRET}", "unix:///s"),
    ],
)
def test_what_people_see_of_an_address_holds_no_login(url: str, seen: str) -> None:
    assert shown(url) == seen


@pytest.mark.processes
def test_a_client_needs_a_certificate_of_our_authority(fortress: Fortress) -> None:
    if not fortress.tls:
        pytest.skip("this server has no TLS")
    url = complete_url(fortress.url("viewer"))
    strangers = [
        complete_url(fortress.url("viewer", certificate=False)),
        url.replace("client.pem", "stranger.pem").replace("client.key", "stranger.key"),
        url.replace("/ca.pem", "/stranger.pem"),
        url.replace("localhost", "127.0.0.1"),
        re.sub(r"\?.*", "", url.replace("rediss", "redis")),
    ]
    for stranger in strangers:
        server = RedisConnection(stranger)
        with pytest.raises(ServerUnreachable):
            server.command("PING")
        server.close()


def listening(pids: list[int]) -> Iterator[str]:
    """Local addresses, in hexadecimal, on which processes listen for TCP."""
    sockets = {
        str(fd.readlink())
        for pid in pids
        for fd in Path(f"/proc/{pid}/fd").iterdir()
        if fd.is_symlink()
    }
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                yield words[1]


@pytest.mark.processes
@pytest.mark.parametrize("with_port", [True, False], ids=["serve", "run"])
def test_nothing_listens_beyond_this_machine(tmp_path: Path, with_port: bool) -> None:
    port, page = free_port(), free_port()
    command = [sys.executable, "-m", "edgestream"]
    if with_port:
        command += ["serve", "--out", str(tmp_path), "--port", str(port), "--workers", "1"]
        command += ["--page-port", str(page)]
    else:
        command += ["run", "-", "-o", str(tmp_path / "md.h5"), "--workers", "1"]
    pipe, log = subprocess.PIPE, tmp_path / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdin=pipe, stdout=out, stderr=out) as process,
    ):
        if not with_port:
            assert process.stdin is not None
            process.stdin.write(demo_trajectory().read_bytes()[:200_000])
            process.stdin.flush()
        try:
            until(lambda: len(family(process.pid)) >= 5 or process.poll() is not None)
            until(lambda: not with_port or "serving on" in log.read_text())
            until(lambda: not with_port or "page: " in log.read_text())
            found = set(listening(family(process.pid)))
        finally:
            process.terminate()
    assert found == ({f"0100007F:{p:04X}" for p in (port, page)} if with_port else set())


@pytest.mark.processes
@pytest.mark.parametrize("server", [None, "redis-server"])
def test_only_the_user_reads_what_a_server_keeps(tmp_path: Path, server: str | None) -> None:
    data = tmp_path / "data"
    before = os.umask(0o022)
    try:
        with EmbeddedServer(server=server, data_dir=data) as own:
            connection = RedisConnection(own.url)
            connection.command("SET", "a", "b")
            connection.close()
            folders = [own.socket.parent, data]
            files = [own.socket, *(p for p in data.rglob("*") if p.is_file())]
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [*folders, *files]}
    finally:
        os.umask(before)
    assert len(files) >= 3, "socket, lock, append-only file"
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
