"""Reaching a server: addresses, logins, TLS, and servers that are none."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port
from processes import until

from edgestream.embedded import EmbeddedServer
from stream.redis_connection import RedisConnection
from stream.server_connections import ServerRefusal
from xas.errors import Reject, RightsMissing, ServerUnreachable


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:7000/3", "redis://host:7000/3"),
        ("redis://:p%40ss@[::1]:1", "redis://[::1]:1"),
        ("rediss://user:pass@host", "rediss://host"),
        ("unix:///tmp/a/s?db=2&password=pass", "unix:///tmp/a/s"),
        ("unix:///s?username=u&password=p@ss", "unix://..."),
    ],
)
def test_an_address_is_shown_without_its_login(url: str, shown: str) -> None:
    assert RedisConnection(url).url == shown


@pytest.mark.parametrize(
    "url",
    ["", "host:6379", "ftp://h", "redis://h/x", "redis://h:99999", "unix://", "unix:///s?db=z",
     "redis://h?nonsense=1", "rediss://h?ssl_cert_reqs=never"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Reject, match="is no address of a server"):
        RedisConnection(url)


@pytest.mark.parametrize(
    "login", [":sec/ret@", ":sec?ret@", ":sec#ret@", "u:sec[ret@", ":sec/\u2100ret@"]
)
def test_a_refused_address_does_not_tell_its_password(login: str) -> None:
    with pytest.raises(Reject, match="written as %xx") as caught:
        RedisConnection(f"redis://{login}host:1")
    assert "sec" not in str(caught.value)
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_missing_certificate_is_refused(name: str) -> None:
    with pytest.raises(Reject, match=f"there is no {name} '/nowhere/it.pem'"):
        RedisConnection(f"rediss://h?{name}=/nowhere/it.pem")


@contextmanager
def configured(*words: object) -> Iterator[None]:
    """The system's redis-server with words of its own."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH")
    command = ["redis-server", "--save", "", "--bind", "127.0.0.1", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def wait_for(url: str) -> RedisConnection:
    connection = RedisConnection(url)

    def answers() -> bool:
        try:
            return bool(connection.command("PING"))
        except ServerUnreachable as error:
            return "refuses the login" in str(error)

    until(answers)
    return connection


@pytest.mark.processes
def test_a_password_opens_a_server_and_a_wrong_one_does_not() -> None:
    port = free_port()
    with configured("--port", port, "--requirepass", "secret"):
        wait_for(f"redis://:secret@127.0.0.1:{port}").close()
        for login in ("", ":wrong@", "nobody:secret@"):
            connection = RedisConnection(f"redis://{login}127.0.0.1:{port}")
            with pytest.raises(ServerUnreachable, match="refuses the login") as caught:
                connection.command("PING")
            assert "secret" not in str(caught.value)
            connection.close()


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and the certificate that it signs itself, for ``localhost``."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


@contextmanager
def tls_server(signed: tuple[Path, Path], clients: str) -> Iterator[str]:
    (key, cert), port = signed, free_port()
    tls = ("--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", clients)
    with configured("--port", 0, "--tls-port", port, "--tls-ca-cert-file", cert, *tls):
        yield f"rediss://localhost:{port}"


@pytest.mark.processes
def test_tls_is_spoken_with_a_server_that_is_known(signed: tuple[Path, Path]) -> None:
    with tls_server(signed, "no") as url:
        known = wait_for(f"{url}?ssl_ca_certs={signed[1]}")
        large = b"x" * 3_000_000
        known.command("SET", "large", large)
        assert known.command("GET", "large") == large
        known.close()
        with pytest.raises(ServerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            RedisConnection(url).command("PING")


@pytest.mark.processes
def test_a_name_that_the_certificate_has_not_is_refused(signed: tuple[Path, Path]) -> None:
    with tls_server(signed, "no") as url:
        wait_for(f"{url}?ssl_ca_certs={signed[1]}").close()
        other = url.replace("localhost", "127.0.0.1")
        with pytest.raises(ServerUnreachable, match=r"VERIFY_FAILED.*127\.0\.0\.1"):
            RedisConnection(f"{other}?ssl_ca_certs={signed[1]}").command("PING")


@pytest.mark.processes
def test_a_server_that_asks_for_it_is_shown_a_certificate(signed: tuple[Path, Path]) -> None:
    key, cert = signed
    with tls_server(signed, "yes") as url:
        words = f"ssl_ca_certs={cert}&ssl_certfile={cert}&ssl_keyfile={key}"
        wait_for(f"{url}?{words}").close()
        with pytest.raises(ServerUnreachable, match="no answer"):
            RedisConnection(f"{url}?ssl_ca_certs={cert}").command("PING")


@pytest.mark.processes
def test_a_user_of_an_access_list_does_what_it_may() -> None:
    port = free_port()
    rules = ["eva", "on", ">p@ss:w/rd", "~es*", "+get", "+ping", "+select"]
    with configured("--port", port, "--user", *rules):
        eva = wait_for(f"redis://eva:p%40ss%3Aw%2Frd@127.0.0.1:{port}/2")
        assert eva.command("GET", "es") is None
        with pytest.raises(RightsMissing, match="eva") as caught:
            eva.command("SET", "es", 1)
        assert "w/rd" not in str(caught.value)
        eva.close()


@pytest.mark.processes
def test_the_number_of_a_database_is_kept(bundled_server: EmbeddedServer) -> None:
    first, third = (
        RedisConnection(bundled_server.url),
        RedisConnection(f"{bundled_server.url}?db=3"),
    )
    third.command("SET", "here", 1)
    assert first.command("GET", "here") is None
    assert third.command("GETDEL", "here") == b"1"
    first.close()
    third.close()


@pytest.mark.processes
def test_a_connection_that_the_server_closed_is_opened_again(
    bundled_server: EmbeddedServer,
) -> None:
    connection, other = RedisConnection(bundled_server.url), RedisConnection(bundled_server.url)
    for _ in range(3):
        number = connection.command("CLIENT", "ID")
        assert other.command("CLIENT", "KILL", "ID", number) == 1
    assert connection.command("CLIENT", "ID") > number
    connection.close()
    other.close()


def test_something_else_that_listens_is_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            peer.recv(100)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(ServerUnreachable, match="no Redis or Valkey server"):
            RedisConnection(f"redis://127.0.0.1:{port}").command("PING")
        thread.join()


@pytest.mark.processes
def test_many_large_words_arrive_whole_and_in_order(bundled_server: EmbeddedServer) -> None:
    connection = RedisConnection(bundled_server.url)
    words = [bytes([i % 256]) * (i * 997) for i in range(700)]
    connection.commands([("SET", f"w{i}", word) for i, word in enumerate(words)])
    assert connection.command("MGET", *(f"w{i}" for i in range(700))) == words
    connection.command("DEL", *(f"w{i}" for i in range(700)))
    connection.close()


@pytest.mark.processes
def test_a_refused_command_leaves_the_connection_usable(bundled_server: EmbeddedServer) -> None:
    connection = RedisConnection(bundled_server.url)
    assert connection.commands([]) == []
    with pytest.raises(ServerRefusal, match="unknown command"):
        connection.commands([("SET", "a", 1), ("NONSENSE",), ("GET", "a")])
    assert connection.command("GET", "a") == b"1"
    connection.close()


@pytest.mark.processes
def test_threads_do_not_read_each_others_answers(bundled_server: EmbeddedServer) -> None:
    connection = RedisConnection(bundled_server.url)
    wrong: list[object] = []

    def ask(who: int) -> None:
        words = [f"{who} {i}" for i in range(200)]
        answers = [connection.command("ECHO", word).decode() for word in words]
        wrong.extend(set(answers) ^ set(words))

    threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    assert wrong == []
