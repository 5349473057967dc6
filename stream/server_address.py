"""Where a server is, and how one gets in: the URL that a user wrote, read once."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from xas.errors import Reject

if TYPE_CHECKING:
    import ssl

DEFAULT_PORT = 6379
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """A server behind ``redis://``, ``rediss://`` (TLS) or ``unix://``.

    ``shown`` is the URL without the password. The query takes ``db`` and, for TLS,
    ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile``.
    """

    shown: str
    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    username: str = ""
    password: str = ""
    db: int = 0
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str) -> ServerAddress:
        """Read a URL; Reject for anything that cannot be one."""
        shown = re.sub(r"//[^@/]*@", "//", url)
        try:
            return _read(url, shown)
        except (ValueError, OSError) as error:
            raise Reject(f"{shown!r} is no address of a server: {error}") from None

    def connect(self) -> socket.socket:
        """A connected socket; OSError."""
        if self.path:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(CONNECT_TIMEOUT_S)
            try:
                plain.connect(self.path)
            except OSError:
                plain.close()
                raise
            return plain
        plain = socket.create_connection((self.host, self.port), timeout=CONNECT_TIMEOUT_S)
        # a small command must not wait for the acknowledgement of the one before
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls else plain


def _read(url: str, shown: str) -> ServerAddress:
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it begins with redis://, rediss:// or unix://")
    query = dict(parse_qsl(parts.query))
    unix = parts.scheme == "unix"
    if unix and not parts.path:
        raise ValueError("a unix socket has a path")
    db = query.get("db") or ("" if unix else parts.path.strip("/")) or "0"
    return ServerAddress(
        shown=shown,
        host=parts.hostname or "localhost",
        port=parts.port or DEFAULT_PORT,
        path=unquote(parts.path) if unix else "",
        username=unquote(parts.username or query.get("username", "")),
        password=unquote(parts.password or query.get("password", "")),
        db=int(db),
        tls=_tls(query) if parts.scheme == "rediss" else None,
    )


def _tls(query: dict[str, str]) -> ssl.SSLContext:
    import ssl  # loaded by those who need it: it takes a tenth of a process's start

    context = ssl.create_default_context(cafile=query.get("ssl_ca_certs"))
    if "ssl_certfile" in query:
        context.load_cert_chain(query["ssl_certfile"], query.get("ssl_keyfile"))
    return context
