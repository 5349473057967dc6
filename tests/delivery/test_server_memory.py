"""The server of the compose file has room for all that producers may have accepted."""

from __future__ import annotations

import re
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from stand import moving_frames

from edgestream.embedded import EmbeddedServer
from stream.broker import PRIORITIES
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.settings import Settings
from xas.errors import Backpressure
from xas.structure import StructureBatch

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
SMALL = Settings(high_water_bytes=2**18)


@pytest.mark.processes
def test_both_priorities_reach_their_marks_before_the_server_of_the_compose_file_is_full() -> None:
    """At a 1024th of the size, with the blocks that cost most: live ones of one small frame."""
    (gib,) = re.findall(r"--maxmemory \$\{REDIS_MAXMEMORY:-(\d+)gb\}", COMPOSE.read_text())
    usual, frames = Settings(), moving_frames(400)
    room = int(gib) * 2**30 - usual.label_bytes
    with EmbeddedServer() as server, closing(RedisConnection(server.url)) as owner:
        broker = RedisBroker(server.url, SMALL)
        limit = broker.memory_bytes()[0] + room * SMALL.high_water_bytes // usual.high_water_bytes
        owner.command("CONFIG", "SET", "maxmemory", limit)
        for priority in PRIORITIES:
            for number in range(5):  # the fifth finds the four marks taken
                spec = RunSpec(model="fe-k", priority=priority)
                producer = Producer(
                    broker, f"{priority}-{number}", spec, settings=SMALL, policy="raise"
                )
                # no room is kept for results, whose bytes cost the server less than those of frames
                owner.command("HSET", f"{{es:0}}:run:{priority}-{number}", "growth", 0)
                with pytest.raises(Backpressure):
                    push_for_ever(producer, frames, 1 if priority == "live" else 20)
        held = broker.shards()[0].held_bytes
        assert min(held.values()) > 3.5 * SMALL.high_water_bytes
        owner.command("SET", "probe", b"x" * 2**15)  # refused by a server that is full
        broker.close()


def push_for_ever(producer: Producer, frames: StructureBatch, step: int) -> None:
    for i in count():
        first = i * step % len(frames)
        producer.push(frames[first : first + step])
