"""Jobs of the trainer on the page: a real queue on a real server."""

from __future__ import annotations

import base64
import re
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import generate_latest

from edgestream.dashboard.job_list import JobList
from edgestream.dashboard.places import Places
from edgestream.embedded import EmbeddedServer
from edgestream.recorders import exporter_of
from stream.acl import ROLES, acl_lines
from stream.jobs import JOBS_AWAY, Jobs
from stream.redis_connection import RedisConnection
from stream.redis_views import RedisViews
from stream.settings import Settings
from stream.url_secrets import with_password

pytestmark = pytest.mark.processes


NOBODY = "redis://127.0.0.1:1"


def places(jobs_url: str | None, url: str = NOBODY) -> Places:
    return Places(url=url, out=None, models=None, settings=Settings(), jobs_url=jobs_url)


def refuse(running: Any, **arguments: Any) -> None:
    from xas.errors import Reject

    raise Reject(f"nothing to learn from {arguments['labels']}")


def finish(running: Any) -> dict[str, str]:
    return {"ending": "promoted"}


RESULT = ("created_at", "2026-01-01T00:00:00.000000Z", "return_value")
REASONS = base64.b64encode(b'{"why": 5, "ending": {"a": 1}}')


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


def test_what_strangers_write_into_a_job_hides_no_other() -> None:
    strange = {
        "meta": ("HSET", "rq:job:meta", "meta", "[1, 2]"),
        "words": ("HSET", "rq:job:words", "meta", '{"epochs": "many", "left_s": []}'),
        "no-result": ("XADD", "rq:results:no-result", "*", "x", "y"),
        "no-stream": ("SET", "rq:results:no-stream", "x"),
        "reasons": ("XADD", "rq:results:reasons", "*", "type", 1, *RESULT, REASONS),
    }
    with EmbeddedServer() as server, closing(RedisConnection(server.url)) as owner:
        with closing(Jobs(server.url, {"train": finish})) as jobs:
            for job in ("good", *strange):
                jobs.enqueue("train", job)
            jobs.work(burst=True)
        owner.command("DEL", "rq:results:no-stream")
        for words in strange.values():
            owner.command(*words)
        found = JobList(places(server.url)).now()
        assert {job["id"] for job in found["jobs"]} == {"good", *strange}
        views = RedisViews(server.url)
        assert b"jobs_server_up 1.0" in generate_latest(
            exporter_of(views, server.url, None).registry
        )
        views.close()


def test_a_server_of_jobs_that_was_named_is_missed() -> None:
    assert JobList(places(None)).now() == {"trouble": "", "jobs": []}
    assert "refused" in JobList(places(NOBODY)).now()["trouble"]
