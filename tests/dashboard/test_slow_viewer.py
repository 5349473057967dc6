"""A viewer whose network is slow, on a real socket: the latest, and not a queue of what was."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from edgestream.dashboard.mailbox import Board, Mailbox
from edgestream.dashboard.page_options import PageOptions
from edgestream.dashboard.page_process import _listen

LETTER = b"x" * 10_000
N = 600
QUEUE = 2**20  # bytes; left to itself the kernel keeps four times as much


@contextmanager
def stream_of(board: Board) -> Iterator[socket.socket]:
    """Somebody who has asked for the board's letters, over a socket of the page, and reads none."""

    async def events(request: Request) -> Response:
        async def letters() -> AsyncIterator[bytes]:
            with board.delivering_to(mailbox := Mailbox()):
                while not mailbox.closed:
                    yield b"".join((await mailbox.take(0.2)).values())

        return StreamingResponse(letters())

    listening = _listen(PageOptions(port=0))
    app = Starlette(routes=[Route("/", events)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with closing(socket.create_connection(listening.getsockname(), timeout=30)) as viewer:
            viewer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            yield viewer
    finally:
        board.close()
        server.should_exit = True
        thread.join()


def test_a_viewer_that_stood_still_is_up_to_date_after_a_few_letters() -> None:
    board = Board()
    with stream_of(board) as viewer:
        for number in range(N):
            board.post("newest", b"<%d>" % number + LETTER)
            time.sleep(0.002)  # as frames come; the loop of the server takes each that it can
        read, last = 0, b""
        while not last.endswith(b"%d" % (N - 1)):
            part = viewer.recv(2**16)
            read += len(part)
            last = (re.findall(rb"<(\d+)>", part) or [last])[-1]
        assert read < QUEUE
