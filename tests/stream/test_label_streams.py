"""Every stream of labels keeps the contract: in memory, on Valkey, on Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from clocks import Clock
from rigs import emptied

from stream.label_stream import push_patiently
from stream.memory_label_stream import MemoryLabelStream
from stream.redis_label_stream import RedisLabelStream
from stream.settings import Settings
from xas.errors import Backpressure, Fenced

SMALL = Settings(label_bytes=100, lease_s=0.25)


@dataclass
class LabelRig:
    stream: Any
    wait: Callable[[float], None]

    def ids(self) -> list[str]:
        return [w.id for w in self.stream.waiting(block_s=0)]

    def payloads(self) -> list[bytes]:
        return [w.payload for w in self.stream.waiting(block_s=0)]


@pytest.fixture(params=["memory", "bundled", "distribution"])
def labels(request: pytest.FixtureRequest, clock: Clock) -> Iterator[LabelRig]:
    if request.param == "memory":
        yield LabelRig(MemoryLabelStream(SMALL, clock), lambda s: clock.sleep(1.2 * s))
        return
    server = request.getfixturevalue(f"{request.param}_server")
    stream = RedisLabelStream(emptied(server), SMALL)
    yield LabelRig(stream, lambda s: time.sleep(1.2 * s))
    stream.close()


def test_labels_wait_in_the_order_in_which_they_came(labels: LabelRig) -> None:
    assert labels.stream.push([b"one", b"two"]) == [True, True]
    assert labels.stream.push([b"three"]) == [True]
    assert labels.payloads() == [b"one", b"two", b"three"]
    assert [w.payload for w in labels.stream.waiting(block_s=0, most=2)] == [b"one", b"two"]


def test_a_label_that_is_pushed_twice_waits_once(labels: LabelRig) -> None:
    assert labels.stream.push([b"one", b"one"]) == [True, True]
    assert labels.stream.push([b"one"]) == [True]
    assert labels.payloads() == [b"one"]
    assert labels.stream.state().waiting_bytes == 3


def test_labels_stay_until_they_are_done(labels: LabelRig) -> None:
    labels.stream.push([b"one", b"two"])
    lease = labels.stream.acquire("trainer")
    first, second = labels.ids()
    assert labels.ids() == [first, second]
    labels.stream.done(lease, [(first, "new")])
    assert labels.ids() == [second]
    labels.stream.done(lease, [(first, "new"), (second, "duplicate")])
    state = labels.stream.state()
    assert (state.waiting, state.waiting_bytes) == (0, 0)
    assert state.outcomes == {"new": 1, "conflict": 0, "duplicate": 1, "refused": 0}


def test_a_label_that_was_archived_can_come_again(labels: LabelRig) -> None:
    lease = labels.stream.acquire("trainer")
    for _ in range(2):
        labels.stream.push([b"one"])
        labels.stream.done(lease, [(labels.ids()[0], "new")])
    assert labels.payloads() == []


def test_a_full_stream_takes_no_more_until_there_is_room(labels: LabelRig) -> None:
    assert labels.stream.push([b"a" * 60, b"b" * 60, b"c" * 40]) == [True, False, True]
    lease = labels.stream.acquire("trainer")
    labels.stream.done(lease, [(labels.ids()[0], "new")])
    assert labels.stream.push([b"b" * 60]) == [True]


def test_a_label_larger_than_the_mark_passes_alone(labels: LabelRig) -> None:
    assert labels.stream.push([b"a" * 200]) == [True]
    assert labels.stream.push([b"b"]) == [False]


def test_only_one_archive_has_the_lease(labels: LabelRig) -> None:
    mine = labels.stream.acquire("one")
    with pytest.raises(Fenced, match="archived by one"):
        labels.stream.acquire("two")
    assert labels.stream.state().archive_alive
    labels.wait(SMALL.lease_s)
    assert not labels.stream.state().archive_alive
    labels.stream.push([b"label"])
    labels.stream.acquire("two")
    for late in (
        lambda: labels.stream.renew(mine),
        lambda: labels.stream.done(mine, [(labels.ids()[0], "new")]),
        lambda: labels.stream.note(mine, [b"x"]),
    ):
        with pytest.raises(Fenced):
            late()
    assert labels.payloads() == [b"label"]


def test_a_lease_that_is_given_back_is_free_at_once(labels: LabelRig) -> None:
    labels.stream.yield_lease(labels.stream.acquire("one"))
    assert labels.stream.acquire("two").owner == "two"


def test_only_the_last_notices_are_kept(labels: LabelRig) -> None:
    lease = labels.stream.acquire("trainer")
    labels.stream.note(lease, [b"first", b"second"])
    labels.stream.note(lease, [b"%d" % i for i in range(60)])
    notices = list(labels.stream.state().notices)
    assert (len(notices), notices[0]) == (50, b"59")


def test_patience_waits_for_room_and_ends(labels: LabelRig) -> None:
    payloads = [bytes([65 + i]) * 60 for i in range(4)]
    lease = labels.stream.acquire("trainer")

    def archive(seconds: float) -> None:
        labels.stream.renew(lease)
        labels.stream.done(lease, [(i, "new") for i in labels.ids()])

    push_patiently(labels.stream, payloads, wait=archive)
    assert labels.stream.state().outcomes["new"] + labels.stream.state().waiting == 4
    labels.stream.push([b"z" * 99])
    with pytest.raises(Backpressure, match="is the trainer running"):
        push_patiently(labels.stream, payloads, deadline_s=0.0, wait=lambda s: None)


def test_a_server_that_forgot_takes_the_archive_back(bundled_server: Any) -> None:
    stream = RedisLabelStream(emptied(bundled_server), SMALL)
    lease = stream.acquire("trainer")
    emptied(bundled_server)
    stream.push([b"one"])
    stream.renew(lease)
    stream.done(lease, [(stream.waiting(block_s=0)[0].id, "new")])
    assert stream.state().waiting == 0
    stream.close()


def test_a_stranger_in_the_stream_is_let_go_like_a_label(bundled_server: Any) -> None:
    stream = RedisLabelStream(emptied(bundled_server), SMALL)
    for words in (("x", "1"), ("k", "1"), ("p", "1")):
        stream._server.command("XADD", "{es:0}:labels", "*", *words)
    lease = stream.acquire("trainer")
    waiting = stream.waiting(block_s=0)
    assert [w.payload for w in waiting] == [b"", b"", b"1"]
    stream.done(lease, [(w.id, "refused") for w in waiting])
    assert stream.state().waiting == 0
    stream.close()
