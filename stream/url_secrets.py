"""The URL of a server without its secrets, and how they come into it."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from xas.errors import Reject


def shown(url: str) -> str:
    """For everything that people or logs see: no login, no password."""
    bare = re.sub(r"//.*@", "//", url)
    return re.sub(r"(?<=[?&])(username|password)=[^&]*&?", "", bare).rstrip("?&")


def require_readable(url: str) -> None:
    """Reject what would be cut in the wrong place, and repeat nothing of its login."""
    head, at, _ = url.partition("//")[2].rpartition("@")
    if at and re.search(r"[/?#\s]", head):
        raise Reject(
            f"{shown(url)!r}: the login before '@' holds '/', '?' or '#'; write them as %2F, %3F "
            "or %23"
        )
    try:
        _ = urlsplit(url).port
    except ValueError:  # whose words may quote the login
        raise Reject(f"{shown(url)!r} is no address of a server") from None


def has_password(url: str) -> bool:
    """Whether the URL itself holds a password."""
    parts = urlsplit(url)
    return bool(re.search(r":.+@", parts.netloc)) or "password" in parse_qs(parts.query)


def with_password(url: str, password: str) -> str:
    """The URL with a password for the user that it names, or for the default user."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    login = f"{user.partition(':')[0] if at else ''}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))
