"""Commands and scripts on Redis 7 or Valkey; what the server refuses, as our own errors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from typing import Any

from stream.server_connections import Line, NoSuchScript, ServerConnections, Word
from xas.errors import Reject, RightsMissing, ScriptsMissing

Call = tuple[Sequence[str], Sequence[Word]]


class _Script:
    def __init__(self, name: str) -> None:
        self.text = (resources.files("stream") / "lua" / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """Commands and scripts on one server; safe to use from several threads.

    Nothing is retried here: whoever calls knows whether a repeated call is harmless.
    """

    def __init__(self, url: str) -> None:
        self._connections = ServerConnections(url)
        self.url = self._connections.url

    def close(self) -> None:
        """Hang up; a later command connects again."""
        self._connections.close()

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
        return _accepted(self._connections.exchange([words])[0])

    def commands(self, lines: Sequence[Line]) -> list[Any]:
        """Several commands in one round trip; not a transaction."""
        return [_accepted(answer) for answer in self._connections.exchange(lines)]

    def create_group(self, stream: str, group: str) -> None:
        """Make stream and group where they are missing; the group sees all entries there are."""
        (answer,) = self._connections.exchange(
            [("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")]
        )
        if not str(answer).startswith("BUSYGROUP"):
            _accepted(answer)

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
        answers = self._connections.exchange([*ahead, *lines])[len(ahead) :]
        missed = [i for i, answer in enumerate(answers) if isinstance(answer, NoSuchScript)]
        if missed:
            self._load(loaded)
            again = self._connections.exchange([lines[i] for i in missed])
            for i, answer in zip(missed, again, strict=True):
                answers[i] = answer
        return [_accepted(answer) for answer in answers]

    def _load(self, script: _Script) -> None:
        try:
            self.command("SCRIPT", "LOAD", script.text)
        except RightsMissing:
            raise ScriptsMissing(
                f"the server at {self.url} does not know the scripts of this edgestream yet: the "
                "writer loads them when it starts; or do it as operator: edgestream acl --load"
            ) from None

    @cached_property
    def _scripts(self) -> dict[str, _Script]:
        folder = resources.files("stream") / "lua"
        names = (f.name.removesuffix(".lua") for f in folder.iterdir() if f.name.endswith(".lua"))
        return {name: _Script(name) for name in names}


def _accepted(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
