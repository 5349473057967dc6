"""Jobs of the trainer on the page: a real queue on a real server."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pytest

from edgestream.dashboard.job_list import JobList
from edgestream.dashboard.places import Places
from edgestream.embedded import EmbeddedServer
from stream.acl import ROLES, acl_lines
from stream.jobs import JOBS_AWAY, Jobs
from stream.redis_connection import RedisConnection
from stream.settings import Settings
from stream.url_secrets import with_password

pytestmark = pytest.mark.processes


NOBODY = "redis://127.0.0.1:1"


def places(jobs_url: str | None, url: str = NOBODY) -> Places:
    return Places(url=url, out=None, models=None, settings=Settings(), jobs_url=jobs_url)


def refuse(running: Any, **arguments: Any) -> None:
    from xas.errors import Reject

    raise Reject(f"nothing to learn from {arguments['labels']}")


def test_jobs_are_listed_with_why_they_failed() -> None:
    with EmbeddedServer() as server:
        jobs = Jobs(server.url, {"train": refuse})
        jobs.enqueue("train", "fe-k-12", labels="none")
        (waiting,) = JobList(places(None, server.url)).now()["jobs"]
        assert (waiting["id"], waiting["task"], waiting["state"]) == ("fe-k-12", "train", "waiting")
        jobs.work(burst=True)
        (failed,) = JobList(places(server.url)).now()["jobs"]
        assert failed["state"] == "failed"
        assert "nothing to learn from none" in failed["outcome"]
        jobs.close()


def test_who_only_looks_sees_jobs_with_the_rights_of_a_viewer() -> None:
    with EmbeddedServer() as server, closing(RedisConnection(server.url)) as owner:
        lines = acl_lines(dict.fromkeys(ROLES, "a password"), Settings())
        words = next(line for line in lines if line.startswith("user viewer")).split(" ", 1)[1]
        owner.command("ACL", "SETUSER", *_rules(words))
        with closing(Jobs(server.url, {"train": refuse})) as jobs:
            jobs.enqueue("train", "fe-k-12", labels="none")
            jobs.work(burst=True)
        viewer = with_password(server.url.replace("unix://", "unix://viewer@"), "a password")
        (failed,) = JobList(places(viewer)).now()["jobs"]
        assert (failed["id"], failed["state"]) == ("fe-k-12", "failed")
        with pytest.raises(JOBS_AWAY, match="no permissions"):
            Jobs(viewer).enqueue("train", "another")


def _rules(words: str) -> list[str]:
    """Words of an ACL line: what is in brackets is one."""
    return re.findall(r"\([^)]*\)|\S+", words)


def test_the_newest_jobs_are_read_and_all_are_counted() -> None:
    with EmbeddedServer() as server, closing(Jobs(server.url, {"train": refuse})) as jobs:
        for i in range(4):
            jobs.enqueue("train", f"failed-{i}", labels="none")
        jobs.work(burst=True)
        for i in range(4):
            jobs.enqueue("train", f"waiting-{i}")
        jobs.cancel("waiting-0")
        assert [job.id for job in jobs.newest(2)] == ["waiting-3", "waiting-2"]
        counts = {"waiting": 3, "running": 0, "done": 0, "failed": 4, "cancelled": 1}
        assert jobs.counts() == counts
        assert {job.id for job in jobs.newest(100)} == {job.id for job in jobs.all()}


def test_a_server_of_jobs_that_was_named_is_missed() -> None:
    assert JobList(places(None)).now() == {"trouble": "", "jobs": []}
    assert "refused" in JobList(places(NOBODY)).now()["trouble"]
