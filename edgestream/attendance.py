"""How a process of the service waits: for its end, and for a server that is not up yet."""

from __future__ import annotations

import threading

from stream.redis_broker import RedisBroker
from stream.service import Patience, StopSignal
from stream.settings import Settings
from stream.url_secrets import shown
from xas.errors import ServerUnreachable


def stop_signal(*, follow_parent: bool) -> StopSignal:
    """Listens to signals and, as a child of ours, to the end of standard input."""
    stop = StopSignal().listen()
    return stop.follow_parent() if follow_parent else stop


def connected(url: str, settings: Settings, stop: threading.Event) -> RedisBroker:
    """A broker on a server that answers; waits for one that is not up yet."""
    broker = RedisBroker(url, settings)
    patience = Patience(shown(url), stop.wait)
    while True:
        try:
            broker.check_version()
        except ServerUnreachable as error:
            if stop.is_set():
                raise
            patience.wait(error)
        else:
            patience.over()
            return broker
