"""Jobs: asked for once, seen while they are done, cancelled, tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgestream.embedded import EmbeddedServer
from stream import jobs as room
from stream.allowed_job import Running
from stream.jobs import ATTEMPTS, Jobs, UnknownJob
from xas.errors import Reject

pytestmark = pytest.mark.processes


class Desk:
    """Does what tests ask of it."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen: list[object] = []
        self.jobs: Jobs | None = None

    def train(self, running: Running, model: str) -> str:
        self.calls += 1
        running.report(epoch=self.calls)
        assert self.jobs is not None
        self.seen.append(self.jobs.find(running.id))
        return f"{model}@2"

    def stumble(self, _running: Running) -> None:
        self.calls += 1
        if self.calls < ATTEMPTS:
            raise OSError("the disk hiccuped")

    def refuse(self, _running: Running) -> None:
        self.calls += 1
        raise Reject("no such snapshot")

    def cancel_itself(self, running: Running) -> None:
        assert self.jobs is not None
        assert self.jobs.cancel(running.id) == "running"
        running.report()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as made:
        yield made


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def jobs(server: EmbeddedServer, desk: Desk, request: pytest.FixtureRequest) -> Iterator[Jobs]:
    names = ("train", "stumble", "refuse", "cancel_itself")
    tasks = {name: getattr(desk, name) for name in names}
    desk.jobs = made = Jobs(server.url, tasks, name=request.node.name)
    yield made
    made.close()


def test_a_job_is_seen_from_question_to_answer(jobs: Jobs, desk: Desk) -> None:
    assert jobs.enqueue("train", "train-fe-k", model="fe-k")
    assert jobs.find("train-fe-k").state == "waiting"
    jobs.work(burst=True)
    (running,) = desk.seen
    assert isinstance(running, room.JobState)
    assert (running.state, running.progress) == ("running", {"epoch": 1})
    (done,) = jobs.all()
    assert (done.state, done.result, done.arguments) == ("done", "fe-k@2", {"model": "fe-k"})
    times = [done.t_asked, done.t_begun, done.t_ended]
    assert None not in times
    assert times == sorted(times, key=lambda t: t or 0.0)


def test_the_same_job_is_asked_for_once_until_it_has_ended(jobs: Jobs, desk: Desk) -> None:
    asked = [jobs.enqueue("train", "again", model="fe-k") for _ in range(3)]
    jobs.work(burst=True)
    asked.append(jobs.enqueue("train", "again", model="fe-k"))
    jobs.work(burst=True)
    assert asked == [True, False, False, True]
    assert desk.calls == 2


def test_a_job_that_stumbled_is_tried_again(jobs: Jobs, desk: Desk) -> None:
    jobs.enqueue("stumble", "stumbling")
    jobs.work(burst=True)
    assert desk.calls == ATTEMPTS
    assert jobs.find("stumbling").state == "done"


def test_a_refusal_is_not_tried_again_and_says_why(jobs: Jobs, desk: Desk) -> None:
    jobs.enqueue("refuse", "refused")
    jobs.work(burst=True)
    found = jobs.find("refused")
    assert (desk.calls, found.state) == (1, "failed")
    assert "no such snapshot" in found.error


def test_a_cancelled_job_does_not_begin_and_one_that_runs_ends(jobs: Jobs, desk: Desk) -> None:
    jobs.enqueue("train", "waits", model="fe-k")
    jobs.enqueue("cancel_itself", "runs")
    assert jobs.cancel("waits") == "waiting"
    jobs.work(burst=True)
    assert desk.calls == 0
    assert {state.id: state.state for state in jobs.all()} == {
        "waits": "cancelled",
        "runs": "cancelled",
    }
    with pytest.raises(UnknownJob, match="edgestream jobs list"):
        jobs.cancel("nonsense")


DYING = """
import os, signal, sys
from stream.jobs import Jobs
def die(running, marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"
Jobs(sys.argv[1], {"die": die}, name=sys.argv[2]).work(burst=True)
"""


def test_a_job_whose_worker_was_killed_is_done_by_the_next(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Jobs(server.url, name="deadly")
    asking.enqueue("die", "deadly", marker=str(tmp_path / "marker"))
    command = [sys.executable, "-c", DYING, server.url, "deadly"]
    first = subprocess.run(command, env=os.environ, capture_output=True, check=False)
    assert first.returncode == -signal.SIGKILL
    assert asking.find("deadly").state == "running"
    silent = room.StartedJobRegistry.cleanup
    later = 4e9  # seconds since 1970: long after its last word
    monkeypatch.setattr(
        room.StartedJobRegistry, "cleanup", lambda registry: silent(registry, timestamp=later)
    )
    asking.recover()
    subprocess.run(command, env=os.environ, capture_output=True, check=True)
    assert asking.find("deadly").result == "survived"
    asking.close()
