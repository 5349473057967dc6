"""The Lua scripts by which the promises are kept, and how a server comes to know them.

Under an ACL only the writer and the operator may load scripts: others call theirs by SHA-1, and a
server that was restarted knows none until the writer, who is always there, has loaded them again.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from stream.redis_connection import RedisConnection


@cache
def scripts() -> dict[str, str]:
    """Name -> text of every script."""
    folder = resources.files("stream") / "lua"
    files = [file for file in folder.iterdir() if file.name.endswith(".lua")]
    return {file.name.removesuffix(".lua"): file.read_text() for file in files}


def sha1(text: str) -> str:
    """The name of a script on a server."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def load_missing(server: RedisConnection) -> int:
    """Load what the server does not know; how many scripts that were."""
    texts = list(scripts().values())
    known = server.command("SCRIPT", "EXISTS", *map(sha1, texts))
    missing = [text for text, there in zip(texts, known, strict=True) if not there]
    server.commands([("SCRIPT", "LOAD", text) for text in missing])
    return len(missing)
