"""A network that can be cut: everybody reaches the server through it."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal

Cut = Literal["whole", "refused", "silent", "deaf"]


class Proxy:
    """A TCP proxy on a port of its own.

    ``cut`` is "refused": connections break and none is made; "silent": nothing arrives at the
    other end; "deaf": requests arrive, answers are lost.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.cut: Cut = "whole"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def sever(self, how: Cut) -> None:
        self.cut = how
        if how == "refused":
            self._break()

    def heal(self) -> None:
        """The network is back; what was under way is broken, as by a router that forgot it."""
        if self.cut != "refused":
            self._break()
        self.cut = "whole"

    def close(self) -> None:
        self.cut = "refused"
        self._listener.close()
        self._break()

    def _break(self) -> None:
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.cut == "refused":
                    raise OSError("the network is cut")
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            left = [2]
            for one, other, asks in ((near, far, True), (far, near, False)):
                threading.Thread(
                    target=self._carry, args=(one, other, asks, left), daemon=True
                ).start()

    def _carry(
        self, source: socket.socket, target: socket.socket, asks: bool, left: list[int]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                lost = self.cut == "silent" or (self.cut == "deaf" and not asks)
                if not lost:
                    target.sendall(data)
        with self._lock:
            left[0] -= 1
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                if not left[0]:
                    self._open.discard(end)
                    end.close()
