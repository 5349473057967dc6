"""The URL of a server without its secrets, and how they come into it."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from xas.errors import Reject


def shown(url: str) -> str:
    """For everything that people or logs see: no login, no password."""
    bare = re.sub(r"//.*@", "//", url)
    return without(bare, "username|password")


def without(url: str, names: str) -> str:
    """The URL without some words of its query, which are a regular expression."""
    return re.sub(rf"(?<=[?&])({names})=[^&]*&?", "", url).rstrip("?&")


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
    """The URL with a password for the user that it names, or for the default user.

    The login stands in front then, where everything that shows a URL leaves it out.
    """
    parts = urlsplit(without(url, "username|password"))
    login, _, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0] or _quoted(_asked(url, "username"))
    return urlunsplit(parts._replace(netloc=f"{user}:{_quoted(password)}@{host}"))


def password_asked(url: str) -> str:
    """The password in the query; empty: there is none."""
    return _asked(url, "password")


def _asked(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query).get(name, [""])[0]


def _quoted(word: str) -> str:
    return quote(word, safe="")
