"""A broker under test, whichever it is, and a way to let its time pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from edgestream.embedded import EmbeddedServer
from stream.broker import FIRST_GROWTH, Completion, Entry, Opened
from stream.messages import RunSpec
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.settings import Settings

SPEC = RunSpec(model="tiny")
# short, since real servers have real clocks; leases end and workers are silent after this
QUICK = Settings(claim_idle_s=0.25, lease_s=0.25, high_water_bytes=1000)
ROOM = 1 + FIRST_GROWTH // 1000  # what a new run's byte takes, with that of its results


@dataclass
class Rig:
    """A broker under test.

    ``wait`` lets its time pass, ``set_clock_back`` makes leases that were given end so many seconds
    too late, ``open`` gives another handle on it.
    """

    broker: Any
    wait: Callable[[float], None]
    set_clock_back: Callable[[float], object]
    settings: Settings
    open: Callable[[Settings], Any] = field(repr=False)

    def change(self, **settings: Any) -> Any:
        """The same broker with other settings."""
        self.settings = replace(self.settings, **settings)
        self.broker = self.open(self.settings)
        return self.broker

    def open_run(self, run: str = "md", **options: Any) -> Opened:
        spec = options.pop("spec", SPEC)
        return self.broker.open_run(run, spec, **{"run_id": "me", "resume": False} | options)

    def push(self, opened: Opened, first: int, n: int = 1, payload: bytes = b"frame") -> int:
        return self.broker.push(opened, first, n, payload)

    def take(self, consumer: str = "w1") -> list[Entry]:
        """Everything that is new, in the order of its delivery."""
        taken: list[Entry] = []
        while more := self.broker.read(consumer, block_s=0):
            taken += more
        return taken

    def complete(self, *entries: Entry, by: str = "w1", **fields: Any) -> list[bool]:
        fields = {"result": b"spectra"} | fields
        return self.broker.complete(by, [Completion(entries=[e], **fields) for e in entries])

    def held(self, run: str = "md") -> tuple[int, int]:
        """Bytes held by a run and by its priority."""
        state = self.broker.run(run)
        shard = self.broker.shards()[self.settings.shard_of(run)]
        return state.held_bytes, shard.held_bytes[state.spec.priority]


def emptied(server: EmbeddedServer) -> str:
    """The server's address, after all of its data is gone."""
    connection = RedisConnection(server.url)
    connection.command("FLUSHALL")
    connection.close()
    return server.url


def rig_of(url: str) -> Iterator[Rig]:
    opened: list[RedisBroker] = []

    def connect(settings: Settings) -> RedisBroker:
        opened.append(RedisBroker(url, settings))
        return opened[-1]

    def set_clock_back(seconds: float) -> None:
        # the clock of this machine is not ours to set: what the server would see is made instead
        connection = RedisConnection(url)
        connection.command("HINCRBY", "{es:0}:writer", "until", int(1000 * seconds))
        connection.close()

    yield Rig(connect(QUICK), lambda s: time.sleep(1.2 * s), set_clock_back, QUICK, connect)
    for broker in opened:
        broker.close()
