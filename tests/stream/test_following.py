"""Following a run: spectra before they are on disk."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from bundles import ENERGY
from rigs import Rig
from stage import open_and_push, publish, push, spectra, work

from stream.following import Arrived, Follower


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.change(high_water_bytes=2**20)
    publish(rig.broker)
    return rig


def commit_all(broker: Any, run: str = "md") -> None:
    lease = broker.acquire(0, "me", above=0)
    for result in broker.results(lease, "0", block_s=0):
        broker.commit(lease, run, result.first + result.n_frames, [result])
    broker.yield_lease(lease)


def test_spectra_arrive_as_workers_give_them_back(rig: Rig) -> None:
    follower = Follower(rig.broker, "md")
    opened = open_and_push(rig.broker, [3])
    assert follower.read(0) == []
    work(rig.broker)
    (arrived,) = follower.read(0)
    assert (arrived.run, arrived.first, arrived.n_frames) == ("md", 0, 3)
    np.testing.assert_array_equal(arrived.energy, ENERGY)
    np.testing.assert_array_equal(arrived.intensity, spectra(0, 3))
    assert (arrived.frame_index.tolist(), arrived.t_pushed.tolist()) == ([0, 1, 2], [1.0] * 3)
    assert follower.read(0) == []
    push(rig.broker, opened, 3, 1)
    work(rig.broker)
    assert [a.frame_index.tolist() for a in follower.read(0)] == [[3]]


def test_whoever_follows_takes_nothing_from_the_writer(rig: Rig) -> None:
    open_and_push(rig.broker, [2])
    followers = [Follower(rig.broker, "md") for _ in range(2)]
    work(rig.broker)
    assert [len(f.read(0)) for f in followers] == [1, 1]
    lease = rig.broker.acquire(0, "me", above=0)
    assert len(rig.broker.results(lease, "0", block_s=0)) == 1


def test_what_is_on_disk_before_it_is_read_is_missed(rig: Rig) -> None:
    opened = open_and_push(rig.broker, [2])
    follower = Follower(rig.broker, "md")
    work(rig.broker)
    commit_all(rig.broker)
    push(rig.broker, opened, 2, 1)
    work(rig.broker)
    assert [a.first for a in follower.read(0)] == [2]


def test_other_runs_and_earlier_results_do_not_arrive(rig: Rig) -> None:
    open_and_push(rig.broker, [2])
    work(rig.broker)
    follower = Follower(rig.broker, "md")
    open_and_push(rig.broker, [1], run="other")
    work(rig.broker)
    assert follower.read(0) == []


def test_dead_letters_arrive_without_spectra(rig: Rig) -> None:
    follower = Follower(rig.broker, "md")
    open_and_push(rig.broker, [3])
    work(rig.broker, dead=[1])
    (arrived,) = follower.read(0)
    assert (arrived.status.tolist(), arrived.frame_index.tolist()) == ([1, 2, 1], [0, 2])


def test_following_ends_when_the_run_is_on_disk(rig: Rig) -> None:
    opened = open_and_push(rig.broker, [2])
    follower = Follower(rig.broker, "md")
    work(rig.broker)
    rig.broker.seal(opened, 2)
    looks = []

    def watch() -> None:
        looks.append(1)
        commit_all(rig.broker)
        lease = rig.broker.acquire(0, "me", above=0)
        rig.broker.finish(lease, "md")

    assert [a.first for a in follower.until_finished(watch, look_s=0)] == [0]
    assert looks


@pytest.mark.processes
def test_a_follower_wakes_when_a_result_comes(redis_rig: Rig) -> None:
    other = redis_rig.change(high_water_bytes=2**20)
    publish(other)
    follower = Follower(redis_rig.open(redis_rig.settings), "md")
    found: list[Arrived] = []
    thread = threading.Thread(target=lambda: found.extend(follower.read(15.0)))
    thread.start()
    open_and_push(other, [1])
    work(other)
    thread.join(10)
    assert [a.first for a in found] == [0]
