"""The connection to Redis 7 or Valkey: scripts by hash, the library's errors as ours.

This is the only room that imports ``redis``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import resources
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from xas.errors import Backpressure, Reject, ServerUnreachable

SOCKET_TIMEOUT_S = 20.0
Call = tuple[Sequence[str], Sequence[object]]


class NoSuchGroup(Exception):
    """The server does not know a stream or its consumer group (any more)."""


class _Script:
    def __init__(self, name: str) -> None:
        self.text = (resources.files("stream") / "lua" / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """Commands and scripts on one server; safe to use from one thread at a time.

    Nothing is retried here: whoever calls knows whether a repeated call is harmless.
    """

    def __init__(self, url: str) -> None:
        self.url = re.sub(r"//[^@/]*@", "//", url)
        try:
            self._redis = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=SOCKET_TIMEOUT_S,
                socket_connect_timeout=5.0,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise Reject(f"{self.url!r} is no address of a server: {error}") from None

    def close(self) -> None:
        """Close the sockets."""
        self._redis.close()

    def check_version(self) -> str:
        """The server's version; Reject below 7.0, ServerUnreachable where none answers."""
        with self._translated():
            info: Any = self._redis.info("server")
        version = str(info["redis_version"])
        if int(version.split(".")[0]) < 7:
            raise Reject(f"the server at {self.url} is {version}; edgestream needs 7.0 or newer")
        return version

    def command(self, *words: Any) -> Any:
        """One command, its answer as the library gives it under RESP2 (bytes, not text)."""
        with self._translated():
            return self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    def commands(self, lines: Sequence[Sequence[Any]]) -> list[Any]:
        """Several commands in one round trip; not a transaction."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for words in lines:
                pipe.execute_command(*words)  # type: ignore[no-untyped-call]
            return list(pipe.execute())

    def create_group(self, stream: str, group: str) -> None:
        """Make stream and group where they are missing; the group sees all entries there are."""
        try:
            self.command("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def call(self, script: str, keys: Sequence[str], *args: object) -> Any:
        """One call of a script in ``stream/lua``."""
        return self.calls(script, [(keys, args)])[0]

    def calls(self, script: str, calls: Sequence[Call]) -> list[Any]:
        """Several calls of one script in one round trip; each is atomic for itself."""
        loaded = self._scripts[script]
        with self._translated():
            answers = self._send(loaded, calls)
            missed = [isinstance(a, redis.exceptions.NoScriptError) for a in answers]
            if any(missed):
                self._redis.script_load(loaded.text)
                again = iter(
                    self._send(loaded, [c for c, m in zip(calls, missed, strict=True) if m])
                )
                answers = [next(again) if m else a for a, m in zip(answers, missed, strict=True)]
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    def _send(self, script: _Script, calls: Sequence[Call]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            for keys, args in calls:
                pipe.evalsha(script.sha, len(keys), *keys, *args)  # type: ignore[arg-type]
            return list(pipe.execute(raise_on_error=False))

    @cached_property
    def _scripts(self) -> dict[str, _Script]:
        folder = resources.files("stream") / "lua"
        names = (f.name.removesuffix(".lua") for f in folder.iterdir() if f.name.endswith(".lua"))
        return {name: _Script(name) for name in names}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.OutOfMemoryError as error:
            raise Backpressure(f"the server at {self.url} is at its memory limit") from error
        except redis.AuthenticationError as error:
            raise ServerUnreachable(
                f"the server at {self.url} refuses the login: {error}"
            ) from error
        except (
            redis.ConnectionError,
            redis.TimeoutError,
            redis.BusyLoadingError,
            redis.ReadOnlyError,
        ) as error:
            raise ServerUnreachable(f"no answer from the server at {self.url}: {error}") from error
        except redis.ResponseError as error:
            text = str(error)
            if "NOGROUP" in text or "no such key" in text:
                raise NoSuchGroup(text) from error
            if "OOM" in text[:40] or "MISCONF" in text[:40]:
                raise Backpressure(f"the server at {self.url} takes no writes: {text}") from error
            raise
