"""The page as a process: a socket, a thread for the web server, and an end."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser

import uvicorn

from edgestream.attendance import stop_signal
from edgestream.dashboard.operator import Operator, read_token
from edgestream.dashboard.page_options import PageOptions
from edgestream.dashboard.places import Places
from edgestream.dashboard.routes import application
from edgestream.dashboard.watches import Watches
from edgestream.recorders import serve_gauges
from stream.service import say
from xas.errors import Reject

SEND_BUFFER = 2**17


def run_page(
    places: Places, options: PageOptions, *, follow_parent: bool, metrics: str | None = None
) -> None:
    """Serve the page until stopped. Reject where a port is taken or the token is of no use."""
    stop = stop_signal(follow_parent=follow_parent)
    operator = Operator(places, read_token(options.token_file))
    listening = _listen(options)
    watches = Watches(places)
    serve_gauges("page", metrics, {("page_viewers", ""): lambda: watches.viewers})
    names = (options.host, socket.gethostname(), *options.names)
    app = application(places, operator, names, watches)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=2, ws="none",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="page")
    thread.start()
    address = _address(options.host, listening.getsockname()[1])
    say(f"page: {address}" + ("" if operator.is_there else "  (read-only)"))
    if options.open_browser:
        _open(address)
    while not stop.wait(1.0) and thread.is_alive():
        pass
    watches.close()
    server.should_exit = True
    thread.join()


def _listen(options: PageOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return _bound(family, options.host, options.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and not options.strict:
            return _bound(family, options.host, 0)
        where = f"{options.host} port {options.port}"
        raise Reject(f"{where}: {error.strerror}; --port 0 takes any that is free") from None


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # for each viewer: left to itself the kernel keeps megabytes of old letters for a slow one
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _open(address: str) -> None:
    """In the user's browser, where there is a screen to show it on."""
    seen = (
        sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not (seen and webbrowser.open(address)):
        say(f"page: open {address} in a browser")
