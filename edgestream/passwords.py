"""Passwords come from files or the environment, never from the command line.

Everybody on a machine can read the command lines of its processes.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from stream.url_secrets import (
    has_password,
    password_asked,
    require_readable,
    shown,
    with_password,
    without,
)
from xas.errors import Reject

FILE_VARIABLE = "EDGESTREAM_REDIS_PASSWORD_FILE"
SHORTEST = 16  # characters; what the server keeps is a plain SHA-256, which is fast to guess


def read_password(path: Path) -> str:
    """The first line of a file; Reject where there is none."""
    try:
        password = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise Reject(f"{path}: no password can be read from it ({reason})") from None
    if not password:
        raise Reject(f"{path}: its first line is to be a password, and is empty")
    return password


def make_password(path: Path) -> str:
    """A new random password in a file that only its owner may read."""
    import secrets  # with its hashes: who only reads a password needs none

    password = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Reject(f"{path}: cannot be written ({error.strerror})") from None
    with os.fdopen(file, "w") as out:
        out.write(password + "\n")
    return password


def port_file(port: int) -> Path:
    """Where the password lies of the server that ``edgestream serve`` opens on a port for us."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "edgestream" / f"{port}.password"


def port_password(port: int) -> str:
    """The password of a port of ours, made where there is none; it outlives the server.

    So whoever pushes to a service that is started again goes on.
    """
    path = port_file(port)
    return read_password(path) if path.exists() else make_password(path)


def _own_port_file(url: str) -> str:
    """That of a port of this machine where there is one; else nothing."""
    parts = urlsplit(url)
    if (
        parts.scheme != "redis"
        or parts.username
        or parts.hostname not in ("127.0.0.1", "localhost")
    ):
        return ""
    path = port_file(parts.port or 6379)
    return str(path) if path.is_file() else ""


def complete_url(url: str) -> str:
    """The URL with the password of ``?password_file=``, else of $EDGESTREAM_REDIS_PASSWORD_FILE.

    Else with that of a port which this user's ``edgestream serve`` has opened. One that holds a
    password already stays as it is.
    """
    require_readable(url)
    named = parse_qs(urlsplit(url).query).get("password_file", [])
    bare = without(url, "password_file")
    if asked := password_asked(bare):
        return with_password(bare, asked)
    path = named[0] if named else os.environ.get(FILE_VARIABLE, "") or _own_port_file(bare)
    if not path or has_password(bare):
        return bare
    return with_password(bare, read_password(Path(path)))


def jobs_server() -> str | None:
    """The server of the jobs that $EDGESTREAM_JOBS_URL names; it may hold a password."""
    named = os.environ.get("EDGESTREAM_JOBS_URL")
    return complete_url(named) if named else None


def url_of_option(url: str | None) -> str | None:
    """What ``--redis-url`` says; Reject for one that shows a password to everybody."""
    if url is None:
        return None
    require_readable(url)
    if has_password(url):
        raise Reject(
            f"--redis-url {shown(url)}: everybody here can read the password in a command line; "
            f"put the whole URL into $EDGESTREAM_URL, or the password into a file that "
            f"${FILE_VARIABLE} or ?password_file=FILE names"
        )
    return complete_url(url)
