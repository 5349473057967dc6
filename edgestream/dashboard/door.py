"""Who may ask: the names that the page answers to, and where a change may come from.

A page of another site that a viewer has open can make the viewer's browser ask us. It cannot read
the answer without our leave (none is given), unless its own name leads to our address: so Host is
checked. It could make us work, so it is not answered where its browser tells (Sec-Fetch-Site). It
could still ask for a change: so a change needs an Origin of ours and the token, which
no browser sends by itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
READING = ("GET", "HEAD")


class Door:
    """Before the application: refuses strange hosts and origins, and adds the headers.

    Addresses are always right: a name can be led to us by its owner, an address cannot.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope), scope["scheme"])
        if refusal:
            await PlainTextResponse(refusal + "\n", 403)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers, scheme: str) -> str:
        """Why not; empty: come in."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return f"this page does not answer to {host[:80]!r}: start it with --allow-host NAME"
        if _is_strange(headers):
            return "this page answers to itself alone, not to other sites"
        if method not in READING and not _same_origin(headers.get("origin", ""), scheme, host):
            return "changes are asked for by this page alone"
        return ""

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True


def _is_strange(headers: Headers) -> bool:
    """Whether another site's page asks, as browsers say; following a link to us is welcome."""
    site = headers.get("sec-fetch-site", "none")
    return site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate"


def _same_origin(origin: str, scheme: str, host: str) -> bool:
    """A proxy may speak https for us, so the scheme may be either; the host is the same."""
    return origin in {f"{scheme}://{host}", f"https://{host}"}
