"""Waiting for processes of our own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from stream.redis_connection import RedisConnection


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == b"Z"


def until(done: Callable[[], object], each: Callable[[], object] = lambda: None) -> None:
    """Wait until something is so, doing something between."""
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, "waited too long"
        each()
        time.sleep(0.005)


def server_pid(url: str) -> int:
    """The process that answers at an address."""
    connection = RedisConnection(url)
    facts = connection.facts("server")
    connection.close()
    return int(facts["process_id"])
