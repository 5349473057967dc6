"""Connections to one server: opened, logged in, and used again.

This is the only room that imports ``redis``: its connections, which know addresses, logins and
TLS, and neither its client nor its packing, which cost three times as much a command (record 13).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hiredis
from redis import Connection, ConnectionPool, UnixDomainSocketConnection
from redis import exceptions as refused

from xas.errors import Backpressure, Reject, RightsMissing, ServerUnreachable

ANSWER_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 5.0
LARGE = 4096  # bytes; words above it are copied once only, into what is sent
BUFFER = 2**18

Word = str | bytes | memoryview | int | float
Line = Sequence[Word]

_FORM = (
    "it has the form redis://user:password@host:port/db, rediss://... (TLS) or unix:///path?db=0, "
    "special characters of user and password written as %xx"
)
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
# the server is there and will be again: it is a replica, or lost its master, or runs a script
_AWAY = (
    refused.ReadOnlyError,
    refused.MasterDownError,
    refused.ClusterDownError,
    refused.TryAgainError,
)
_LOGIN = (refused.AuthenticationError, refused.NoPermissionError)


class NoSuchGroup(Exception):
    """The server does not know a stream or its consumer group (any more)."""


class NoSuchScript(Exception):
    """The server does not know a script (any more)."""


class ServerRefusal(Exception):
    """The server refuses a command for a reason that we do not know."""


class ServerConnections:
    """The way to one server; safe to use from several threads. Nothing is sent twice.

    ``url``: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with the query that redis-py reads
    (``db``, ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ...); Reject where it cannot be
    one. The attribute ``url`` is fit to be shown: it has no login and no query.
    """

    def __init__(self, url: str) -> None:
        self.url = _shown(url)
        try:
            self._pool = _pool(url)
        except (ValueError, refused.RedisError) as error:
            raise Reject(f"{self.url!r} is no address of a server: {error}") from None
        self._idle: list[Connection] = []

    def close(self) -> None:
        """Hang up; a later exchange opens a new connection."""
        while self._idle:
            self._idle.pop().disconnect()

    def exchange(self, lines: Sequence[Line]) -> list[Any]:
        """Send commands in one go; one answer each, in their order. ServerUnreachable.

        Answers come as under RESP2: bytes, numbers, lists; for a command that the server refuses,
        the exception that says so, to be raised by who asked.
        """
        if not lines:
            return []
        pieces = [piece for words in lines for piece in _packed(words)]
        try:
            connection = self._connected()
            try:
                connection.send_packed_command([b"".join(pieces)], check_health=False)
                answers = [_answer(connection) for _ in lines]
            except BaseException:
                connection.disconnect()  # an answer may be on its way: nobody else must read it
                raise
        except (refused.RedisError, OSError) as error:
            raise self._unreachable(error) from error
        self._idle.append(connection)
        for i, answer in enumerate(answers):
            if isinstance(answer, refused.ResponseError):
                answers[i] = self._translated(answer)
        return answers

    def _connected(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._new()
            try:
                stale = connection.can_read()  # says what nobody asked for
            except refused.ConnectionError:
                stale = True  # hung up
            if not stale:
                return connection
            connection.disconnect()

    def _new(self) -> Connection:
        # not the pool's own care of connections: it costs 20 us a command
        connection: Connection = self._pool.connection_class(**self._pool.connection_kwargs)
        connection.connect()
        return connection

    def _translated(self, refusal: refused.ResponseError) -> Exception:
        text = str(refusal)
        if isinstance(refusal, refused.NoScriptError):
            return NoSuchScript(text)
        if text.startswith("NOGROUP") or "no such key" in text:
            return NoSuchGroup(text)
        if isinstance(refusal, refused.OutOfMemoryError):
            return Backpressure(f"the server at {self.url} is at its memory limit")
        if text.startswith("MISCONF"):
            return Backpressure(f"the server at {self.url} takes no writes: {text}")
        if isinstance(refusal, (*_AWAY, *_LOGIN)) or text.startswith("BUSY "):
            return self._unreachable(refusal)
        return ServerRefusal(text)

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        if isinstance(error, refused.NoPermissionError):
            user = self._pool.connection_kwargs.get("username") or "default"
            said = str(error).removeprefix("NOPERM ")
            return RightsMissing(
                f"the server at {self.url} refuses its user {str(user)!r}: {said}; log in as the "
                "role that does this, or, after an update of edgestream, print the ACL file again: "
                "edgestream acl --help"
            )
        if isinstance(error, _LOGIN):
            return ServerUnreachable(f"the server at {self.url} refuses the login: {error}")
        what: object = error
        if isinstance(error, refused.TimeoutError):
            what = "it says nothing"
        if isinstance(error, refused.InvalidResponse):
            what = f"what answers is no Redis or Valkey server: {error}"
        return ServerUnreachable(f"no answer from the server at {self.url}: {what}")


def _answer(connection: Connection) -> Any:
    try:
        return connection.read_response()
    except refused.ResponseError as refusal:
        return refusal.with_traceback(None)


def _packed(words: Line) -> list[bytes | memoryview]:
    for word in words:
        if isinstance(word, (bytes, memoryview)) and len(word) > LARGE:
            break
    else:
        return [hiredis.pack_command(tuple(words))]  # type: ignore[arg-type]
    pieces: list[bytes | memoryview] = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes | memoryview) else str(word).encode()
        pieces += (b"$%d\r\n" % len(data), data, b"\r\n")
    return pieces


def _pool(url: str) -> ConnectionPool:
    try:
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_read_size=BUFFER,
            driver_info=None,  # two round trips a connection, to tell its library
        )
    except ValueError:  # whose words may show a part of the password
        raise ValueError(_FORM) from None
    pool.connection_kwargs.update(protocol=2, decode_responses=False)
    _check(pool, urlsplit(url).path.strip("/"))
    return pool


def _check(pool: ConnectionPool, path: str) -> None:
    words = pool.connection_kwargs
    unix = issubclass(pool.connection_class, UnixDomainSocketConnection)
    if (unix and not path) or (not unix and path and "db" not in words):
        raise ValueError(_FORM)
    for name in _FILES:
        if name in words and not Path(words[name]).exists():
            raise ValueError(f"there is no {name} {words[name]!r}")
    try:
        pool.connection_class(**words)  # opens nothing
    except TypeError as error:
        raise ValueError(f"its query has {str(error).split()[-1]}, unknown to redis-py") from None


def _shown(url: str) -> str:
    head, _, query = url.partition("?")
    if "@" in query:  # a question mark within a password, or an at sign: who can tell
        return head.partition("://")[0] + "://..."
    return re.sub(r"//.*@", "//", head)
