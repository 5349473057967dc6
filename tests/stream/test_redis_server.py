"""What only a real server can do: forget, fill up, restart, hold entries that are not ours."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import until
from rigs import QUICK, ROOM, SPEC, Rig, emptied, rig_of
from stage import assert_rows, open_and_push, publish, push, work

from edgestream.embedded import EmbeddedServer
from stream.broker import Completion, Opened, UnpublishedModel, WorkerState
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.redis_views import AHEAD_S
from stream.writer import Writer
from xas.errors import Backpressure, Fenced, Reject, RunForgotten, ServerUnreachable

MEMORY = 24 * 2**20
STATE = WorkerState(
    name="w1", host="h", pid=1, device="cpu", models=[], frames=0, sites=0, failures=0,
    busy_s=0.0, seen_at=0.0,
)  # fmt: skip


@pytest.fixture
def server(bundled_server: EmbeddedServer) -> Iterator[RedisConnection]:
    connection = RedisConnection(bundled_server.url)
    yield connection
    connection.close()


@pytest.fixture(params=["bundled", "distribution"])
def small_rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A server that is soon full."""
    url = emptied(request.getfixturevalue(f"{request.param}_server"))
    connection = RedisConnection(url)
    connection.command("CONFIG", "SET", "maxmemory", MEMORY)
    for rig in rig_of(url):
        rig.change(high_water_bytes=2**40)
        yield rig
    connection.command("CONFIG", "SET", "maxmemory", 0)
    connection.close()


def fill(rig: Rig, opened: Opened) -> int:
    """Push until the server takes no more; how many frames it took."""
    for n in range(1000):
        with contextlib.suppress(Backpressure):
            rig.push(opened, n, 1, b"x" * 2**20)
            continue
        return n
    raise AssertionError("the server has no limit")


def test_a_full_server_can_be_emptied(small_rig: Rig) -> None:
    rig = small_rig
    opened = rig.open_run()
    n = fill(rig, opened)
    with pytest.raises(Backpressure, match="memory limit"):
        rig.push(opened, n, 1, b"x" * 2**20)
    rig.broker.report(STATE)
    rig.broker.publish_model("ab" * 32, b"record")
    lease = rig.broker.acquire(0, "me", above=0)
    done = 0
    assert rig.broker.claim("w2") == []
    while entries := rig.take():
        rig.broker.heartbeat("w1", entries)
        result = {"result": b"y" * 2**20, "model": "ab" * 32, "dead": [b"z"], "n_dead": 1}
        assert all(rig.complete(*entries, **result))
        results = rig.broker.results(lease, "0", block_s=0)
        done += len(results)
        rig.broker.commit(lease, "md", done, results)
    while results := rig.broker.results(lease, "0", block_s=0):
        done += len(results)
        rig.broker.commit(lease, "md", done, results)
    assert (done, rig.held()) == (n, (0, 0))
    assert rig.push(opened, n, 1, b"x" * 2**20) == n + 1


def test_a_server_that_came_back_empty_counts_no_completion(
    redis_rig: Rig, bundled_server: EmbeddedServer
) -> None:
    opened = redis_rig.open_run()
    for i in range(3):
        redis_rig.push(opened, i)
    entries = redis_rig.take()
    emptied(bundled_server)
    for together in (entries, entries[:1]):
        done = Completion(entries=together, result=b"spectra")
        assert redis_rig.broker.complete("w1", [done]) == [False]


def test_nothing_is_left_of_what_was_refused_or_committed(
    redis_rig: Rig, server: RedisConnection
) -> None:
    broker = redis_rig.broker
    fenced = redis_rig.open_run()
    opened = redis_rig.open_run()
    for first in (0, 0, 5, 1, 2):
        redis_rig.push(opened, first)
    with pytest.raises(Fenced):
        redis_rig.push(fenced, 3)
    with pytest.raises(Backpressure):
        redis_rig.push(opened, 3, 1, b"x" * 1000)
    a, b, c = redis_rig.take()
    with pytest.raises(UnpublishedModel):
        redis_rig.complete(a, model="ab" * 32)
    assert redis_rig.complete(a, a) == [True, False]
    assert broker.complete("w1", [Completion(entries=[a, b], result=b"late")]) == [False]
    broker.bury("w1", c, b"letter")
    redis_rig.complete(b)
    lease = broker.acquire(0, "me", above=0)
    found = broker.results(lease, "0", block_s=0)
    assert len(server.command("KEYS", "{es:0}:[fr]:*")) == 4
    broker.commit(lease, "md", 2, found)
    assert server.command("KEYS", "{es:0}:[fr]:*") == []


def test_what_came_ahead_of_a_script_that_never_ran_is_forgotten(
    redis_rig: Rig, server: RedisConnection
) -> None:
    redis_rig.push(redis_rig.open_run(), 0)
    (kept,) = server.command("KEYS", "{es:0}:f:*")
    assert server.command("TTL", kept) == -1
    broker = redis_rig.broker
    broker._server.calls("drop", [], ahead=[("SET", "{es:0}:f:x", b"x", "EX", AHEAD_S)])
    assert 0 < server.command("TTL", "{es:0}:f:x") <= AHEAD_S


def test_a_block_that_was_lost_on_its_way_is_sent_again(
    redis_rig: Rig, server: RedisConnection
) -> None:
    broker, opened = redis_rig.broker, redis_rig.open_run()
    calls = broker._server.calls

    def forgetful(script: str, lines: list[Any], ahead: list[Any] = ()) -> list[Any]:  # type: ignore[assignment]
        broker._server.calls = calls
        return calls(script, lines)

    broker._server.calls = forgetful
    assert redis_rig.push(opened, 0) == 1
    (entry,) = redis_rig.take()
    broker._server.calls = forgetful
    assert redis_rig.complete(entry) == [True]
    lease = broker.acquire(0, "me", above=0)
    (result,) = broker.results(lease, "0", block_s=0)
    assert (result.payload, [*result.frames]) == (b"spectra", [b"frame"])


def test_scripts_are_loaded_again_where_the_server_forgot_them(
    redis_rig: Rig, server: RedisConnection
) -> None:
    opened = redis_rig.open_run()
    for i in range(3):
        redis_rig.push(opened, i)
    entries = redis_rig.take()
    server.command("SCRIPT", "FLUSH")
    assert redis_rig.complete(*entries) == [True, True, True]


def test_a_server_that_forgot_everything_says_so(redis_rig: Rig, server: RedisConnection) -> None:
    opened = redis_rig.open_run()
    redis_rig.push(opened, 0)
    entries = redis_rig.take()
    server.command("FLUSHALL")
    for call in (
        lambda: redis_rig.push(opened, 1),
        lambda: redis_rig.broker.seal(opened, 0),
        lambda: redis_rig.broker.drop(opened, 1),
    ):
        with pytest.raises(RunForgotten, match="does not know run 'md' any more"):
            call()
    assert redis_rig.complete(*entries) == [False]
    redis_rig.broker.heartbeat("w1", entries)
    redis_rig.broker.release("w1", entries)
    redis_rig.broker.leave("w1")
    assert redis_rig.broker.pending("w1") == redis_rig.broker.claim("w1") == []
    assert redis_rig.broker.run("md") is None


def test_a_server_that_forgot_a_lease_gives_it_again(
    redis_rig: Rig, server: RedisConnection
) -> None:
    lease = redis_rig.broker.acquire(0, "me", above=6)
    server.command("FLUSHALL")
    redis_rig.open_run()
    with pytest.raises(Fenced):
        redis_rig.broker.commit(lease, "md", 0, [])
    redis_rig.broker.renew(lease)
    redis_rig.broker.commit(lease, "md", 0, [])
    with pytest.raises(Fenced):
        redis_rig.broker.acquire(0, "another", above=0)


def test_a_server_that_went_back_behind_the_opening_is_not_taken_for_another_producer(
    redis_rig: Rig, server: RedisConnection
) -> None:
    opened = redis_rig.open_run(resume=True)
    # as its append-only file had it before
    server.command("HINCRBY", "{es:0}:run:md", "epoch", -1)
    with pytest.raises(RunForgotten):
        redis_rig.push(opened, 0)
    with pytest.raises(RunForgotten):
        redis_rig.broker.seal(opened, 0)
    with pytest.raises(RunForgotten):
        redis_rig.broker.drop(opened, 1)


def test_a_producer_opens_its_run_again_on_a_server_that_forgot(
    redis_rig: Rig, server: RedisConnection
) -> None:
    producer = Producer(redis_rig.broker, "md", SPEC)
    server.command("FLUSHALL")
    assert producer.seal() == 0
    assert redis_rig.broker.run("md").sealed == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"x": "y"},
        {"r": "md", "i": "0", "b": "payload"},
        {"r": "md", "i": "zero", "n": "1", "b": ""},
        {"r": "md", "i": "-1", "n": "1", "b": ""},
        {"r": "md", "i": "0", "n": "0", "b": ""},
        {"r": "md", "i": "0", "n": "-3", "b": ""},
        {"r": "md", "i": "0", "n": "9" * 18, "b": ""},
        {"r": "md", "i": "0", "n": "9" * 5000, "b": ""},
        {"r": "../md", "i": "0", "n": "1", "b": ""},
        {"r": b"\xff\xfe", "i": "0", "n": "1", "b": ""},
    ],
)
def test_an_entry_that_is_not_ours_belongs_to_no_run(
    redis_rig: Rig, server: RedisConnection, fields: dict[str, str | bytes]
) -> None:
    words = [word for pair in fields.items() for word in pair]
    server.command("XADD", "{es:0}:frames:live", "*", *words)
    (entry,) = redis_rig.take()
    assert entry.run == ""
    redis_rig.broker.bury("w1", entry, b"letter")
    assert redis_rig.broker.shards()[0].waiting["live"] == 0


def test_everything_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    with EmbeddedServer(data_dir=tmp_path) as first:
        broker = RedisBroker(first.url, QUICK)
        opened = broker.open_run("md", SPEC, run_id="me", resume=False)
        broker.push(opened, 0, 2, b"frames")
        taken = broker.read("w1", block_s=0)
        broker.close()
    with pytest.raises(ServerUnreachable, match="no answer from the server"):
        broker.runs()
    with EmbeddedServer(data_dir=tmp_path) as second:
        broker = RedisBroker(second.url, QUICK)
        assert broker.pending("w1") == taken
        assert broker.push(opened, 2, 1, b"frame") == 3
        assert broker.run("md").held_bytes == ROOM * len(b"framesframe")
        broker.close()


def test_a_writer_at_work_keeps_its_lease_and_gives_it_back(redis_rig: Rig, tmp_path: Path) -> None:
    quick = replace(QUICK, lease_s=1.0, commit_interval_s=0.01, segment_grace_s=0.0)
    writing, broker = redis_rig.open(quick), redis_rig.change(high_water_bytes=2**20)
    publish(broker)
    writer, stop = Writer(writing, tmp_path, settings=quick), threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    opened = open_and_push(broker, [])
    for n in range(20):
        push(broker, opened, n, 1)
        work(broker)
        time.sleep(0.06)
        with pytest.raises(Fenced):
            broker.acquire(0, "another", above=0)
    broker.seal(opened, 20)
    until(lambda: broker.run("md").finished)
    stop.set()
    thread.join(20)
    assert_rows(tmp_path / "md.h5", 20)
    assert broker.acquire(0, "another", above=0).epoch > 1


def test_a_read_ends_when_a_frame_comes(redis_rig: Rig) -> None:
    opened = redis_rig.open_run()
    other = redis_rig.open(QUICK)
    thread = threading.Thread(target=lambda: other.push(opened, 0, 1, b"frame"))
    redis_rig.take()
    thread.start()
    entries = redis_rig.broker.read("w1", block_s=10)
    thread.join()
    assert [e.first for e in entries] == [0]


@pytest.mark.parametrize("url", ["nonsense", "http://localhost", "redis://h:notaport"])
def test_a_strange_address_is_refused(url: str) -> None:
    with pytest.raises(Reject, match="is no address of a server"):
        RedisBroker(url)


def test_a_password_is_not_shown() -> None:
    broker = RedisBroker("redis://:secret@127.0.0.1:1")
    with pytest.raises(ServerUnreachable) as caught:
        broker.check_version()
    broker.close()
    assert "secret" not in str(caught.value)
