"""What a page is started with; as words, for a page that is a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PORT = 8050


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Where the page is and what it answers to.

    port        0: any that is free
    strict      exactly this port; else another where it is taken
    names       hosts that it answers to beside localhost, this machine's name and addresses
    token_file  without one the page is read-only
    """

    host: str = "127.0.0.1"
    port: int = PORT
    strict: bool = False
    names: tuple[str, ...] = ()
    token_file: Path | None = None
    open_browser: bool = False

    @classmethod
    def at(
        cls, port: int | None, token_file: Path | None = None, *, open_browser: bool = False
    ) -> PageOptions:
        """On this machine; ``port`` None: the usual one, or another where it is taken."""
        return cls(
            port=PORT if port is None else port,
            strict=port is not None,
            token_file=token_file,
            open_browser=open_browser,
        )

    def words(self) -> Iterator[str]:
        """For ``edgestream.child page``."""
        yield from ("--host", self.host, "--port", str(self.port))
        if self.strict:
            yield "--strict"
        for name in self.names:
            yield from ("--allow-host", name)
        if self.token_file is not None:
            yield from ("--operator-token-file", str(self.token_file))
        if self.open_browser:
            yield "--open"
