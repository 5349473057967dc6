"""Commands and scripts on Redis 7 or Valkey; what the server refuses, as our own errors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from typing import Any

from stream.server_address import ServerAddress
from stream.server_socket import Line, Refusal, ServerSocket, Word
from xas.errors import Backpressure, Reject, ServerUnreachable

Call = tuple[Sequence[str], Sequence[Word]]


class NoSuchGroup(Exception):
    """The server does not know a stream or its consumer group (any more)."""


class ServerRefusal(Exception):
    """The server refuses a command for a reason that we do not know."""


class _Script:
    def __init__(self, name: str) -> None:
        self.text = (resources.files("stream") / "lua" / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """Commands and scripts on one server; safe to use from several threads.

    Nothing is retried here: whoever calls knows whether a repeated call is harmless.
    """

    def __init__(self, url: str) -> None:
        self._address = ServerAddress.of(url)
        self.url = self._address.shown
        self._idle: list[ServerSocket] = []

    def close(self) -> None:
        """Close the sockets; a later command opens new ones."""
        while self._idle:
            self._idle.pop().close()

    def check_version(self) -> str:
        """The server's version; Reject below 7.0, ServerUnreachable where none answers."""
        version = self.facts("server")["redis_version"]
        if int(version.split(".")[0]) < 7:
            raise Reject(f"the server at {self.url} is {version}; edgestream needs 7.0 or newer")
        return version

    def facts(self, section: str) -> dict[str, str]:
        """What the server says of itself in one section of INFO."""
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def command(self, *words: Word) -> Any:
        """One command, its answer as it comes under RESP2: bytes, numbers, lists."""
        return self._accepted(self._exchange([words])[0])

    def commands(self, lines: Sequence[Line]) -> list[Any]:
        """Several commands in one round trip; not a transaction."""
        return [self._accepted(answer) for answer in self._exchange(lines)]

    def create_group(self, stream: str, group: str) -> None:
        """Make stream and group where they are missing; the group sees all entries there are."""
        (answer,) = self._exchange([("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")])
        if not str(answer).startswith("BUSYGROUP"):
            self._accepted(answer)

    def call(
        self, script: str, keys: Sequence[str], *args: Word, ahead: Sequence[Line] = ()
    ) -> Any:
        """One call of a script in ``stream/lua``."""
        return self.calls(script, [(keys, args)], ahead=ahead)[0]

    def calls(self, script: str, calls: Sequence[Call], *, ahead: Sequence[Line] = ()) -> list[Any]:
        """Several calls of one script in one round trip; each is atomic for itself.

        ``ahead``: commands that go before them; whether they worked, the script finds out.
        """
        loaded = self._scripts[script]
        lines = [("EVALSHA", loaded.sha, len(keys), *keys, *args) for keys, args in calls]
        answers = self._exchange([*ahead, *lines])[len(ahead) :]
        missed = [i for i, answer in enumerate(answers) if _begins(answer, "NOSCRIPT")]
        if missed:
            self.command("SCRIPT", "LOAD", loaded.text)
            again = self._exchange([lines[i] for i in missed])
            for i, answer in zip(missed, again, strict=True):
                answers[i] = answer
        return [self._accepted(answer) for answer in answers]

    @cached_property
    def _scripts(self) -> dict[str, _Script]:
        folder = resources.files("stream") / "lua"
        names = (f.name.removesuffix(".lua") for f in folder.iterdir() if f.name.endswith(".lua"))
        return {name: _Script(name) for name in names}

    def _exchange(self, lines: Sequence[Line]) -> list[Any]:
        if not lines:
            return []
        try:
            connection = self._connected()
            try:
                answers = connection.exchange(lines)
            except BaseException:
                connection.close()  # an answer may be on its way: nobody else must read it
                raise
        except (OSError, Refusal) as error:
            raise self._unreachable(error) from error
        self._idle.append(connection)
        return answers

    def _connected(self) -> ServerSocket:
        while self._idle:
            connection = self._idle.pop()
            if not connection.stale:
                return connection
            connection.close()
        return ServerSocket(self._address)

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        if _begins(error, "WRONGPASS", "NOAUTH", "ERR AUTH"):
            return ServerUnreachable(f"the server at {self.url} refuses the login: {error}")
        what = "it says nothing" if isinstance(error, TimeoutError) else error
        return ServerUnreachable(f"no answer from the server at {self.url}: {what}")

    def _accepted(self, answer: Any) -> Any:
        if isinstance(answer, Refusal):
            raise self._translated(answer) from None
        return answer

    def _translated(self, refusal: Refusal) -> Exception:
        if _begins(refusal, "NOGROUP") or "no such key" in str(refusal):
            return NoSuchGroup(str(refusal))
        if _begins(refusal, "OOM"):
            return Backpressure(f"the server at {self.url} is at its memory limit")
        if _begins(refusal, "MISCONF"):
            return Backpressure(f"the server at {self.url} takes no writes: {refusal}")
        if _begins(refusal, "NOAUTH", "NOPERM", "WRONGPASS", *AWAY):
            return self._unreachable(refusal)
        return ServerRefusal(str(refusal))


# the server is there and will be again: it loads its data, is a replica, or loses its master
AWAY = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ", "ERR max number")


def _begins(answer: object, *words: str) -> bool:
    return isinstance(answer, Exception) and str(answer).startswith(words)
