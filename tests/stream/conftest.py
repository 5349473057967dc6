"""Real servers, and brokers of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from clocks import Clock
from rigs import QUICK, Rig, emptied, rig_of

from edgestream.embedded import EmbeddedServer
from stream.memory_broker import MemoryBroker
from stream.settings import Settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def bundled_server() -> Iterator[EmbeddedServer]:
    """The server that edgestream brings along."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="session")
def distribution_server() -> Iterator[EmbeddedServer]:
    """The redis-server of the system, where there is one."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH")
    with EmbeddedServer(server="redis-server") as server:
        yield server


@pytest.fixture
def redis_rig(bundled_server: EmbeddedServer) -> Iterator[Rig]:
    yield from rig_of(emptied(bundled_server))


@pytest.fixture
def memory_rig(clock: Clock) -> Rig:
    broker = MemoryBroker(QUICK, clock)

    def reopen(settings: Settings) -> MemoryBroker:
        broker.settings = settings
        return broker

    return Rig(broker, lambda s: clock.sleep(1.2 * s), lambda s: clock.sleep(-s), QUICK, reopen)


@pytest.fixture(params=["memory", "bundled", "distribution"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Every broker that keeps the contract."""
    if request.param == "memory":
        yield request.getfixturevalue("memory_rig")
    else:
        yield from rig_of(emptied(request.getfixturevalue(f"{request.param}_server")))
