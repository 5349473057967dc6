"""One connection to a server, speaking RESP2: commands out, answers in.

This is the only room that imports ``hiredis``.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

import hiredis

from stream.server_address import ServerAddress

ANSWER_TIMEOUT_S = 20.0
LARGE = 4096  # bytes; words above it are sent from where they are, never copied
PIECES = 512  # one call of sendmsg takes at most 1,024
BUFFER = 2**18

Word = str | bytes | memoryview | int | float
Line = Sequence[Word]
Refusal = hiredis.ReplyError


class ServerSocket:
    """Opened and logged in when made; OSError, also where the server falls silent.

    A command that the server refuses is answered with a ``Refusal``, which is returned.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._socket = address.connect()
        self._plain = address.tls is None
        self._reader = hiredis.Reader()
        self._reader.setmaxbuf(BUFFER)
        self._buffer = bytearray(BUFFER)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            self._log_in(address)
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(ANSWER_TIMEOUT_S)

    def _log_in(self, address: ServerAddress) -> None:
        lines: list[Line] = []
        if address.password:
            lines.append(("AUTH", *filter(None, [address.username]), address.password))
        if address.db:
            lines.append(("SELECT", address.db))
        for answer in self.exchange(lines):
            if isinstance(answer, Refusal):
                raise answer

    @property
    def stale(self) -> bool:
        """Whether the server has hung up, or says what nobody asked for."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def exchange(self, lines: Sequence[Line]) -> list[Any]:
        """Send commands in one go; one answer each, in their order."""
        pieces: list[bytes | memoryview] = []
        for words in lines:
            pieces += _pieces(words)
        self._send(pieces)
        return [self._answer() for _ in lines]

    def _send(self, pieces: list[bytes | memoryview]) -> None:
        if not self._plain or sum(map(len, pieces)) <= LARGE:
            self._socket.sendall(b"".join(pieces))
            return
        views = [memoryview(piece) for piece in pieces if len(piece)]
        start = 0
        while start < len(views):
            sent = self._socket.sendmsg(views[start : start + PIECES])
            while start < len(views) and sent >= len(views[start]):
                sent -= len(views[start])
                start += 1
            if sent:
                views[start] = views[start][sent:]

    def _answer(self) -> Any:
        try:
            answer = self._reader.gets()
            while answer is False:
                size = self._socket.recv_into(self._buffer)
                if not size:
                    raise ConnectionResetError("the server hung up")
                self._reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]
                answer = self._reader.gets()
        except hiredis.ProtocolError as error:
            raise ConnectionError(f"what answers is no Redis or Valkey server: {error}") from None
        return answer


def _pieces(words: Line) -> list[bytes | memoryview]:
    for word in words:
        if isinstance(word, (bytes, memoryview)) and len(word) > LARGE:
            break
    else:
        return [hiredis.pack_command(tuple(words))]  # type: ignore[arg-type]
    pieces: list[bytes | memoryview] = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes | memoryview) else str(word).encode()
        pieces += (b"$%d\r\n" % len(data), data, b"\r\n")
    return pieces
