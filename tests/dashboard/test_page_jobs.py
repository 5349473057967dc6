"""Jobs of the trainer on the page: a real queue on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from edgestream.dashboard.job_list import JobList
from edgestream.dashboard.places import Places
from edgestream.embedded import EmbeddedServer
from stream.jobs import Jobs
from stream.settings import Settings

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
        assert "nothing to learn from none" in failed["error"]
        jobs.close()


def test_a_server_of_jobs_that_was_named_is_missed() -> None:
    assert JobList(places(None)).now() == {"trouble": "", "jobs": []}
    assert "refused" in JobList(places(NOBODY)).now()["trouble"]
