"""Jobs that somebody forged: RQ's own worker and a real server, and nothing of theirs is run."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from edgestream.embedded import EmbeddedServer
from stream.allowed_job import Running
from stream.jobs import Jobs

pytestmark = pytest.mark.processes


def basename(_running: Running, path: str) -> str:
    return Path(path).name


def parse(_running: Running, text: str) -> Any:
    return json.loads(text)


TASKS = {"basename": basename, "parse": parse}


@pytest.fixture
def jobs_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def jobs(jobs_server: EmbeddedServer) -> Iterator[Jobs]:
    made = Jobs(jobs_server.url, TASKS)
    yield made
    made.close()


@pytest.fixture
def server(jobs_server: EmbeddedServer) -> Iterator[Redis]:
    connection = Redis.from_url(jobs_server.url, protocol=2)
    yield connection
    connection.close()


def forge(server: Redis, data: bytes, job: str = "forged", **fields: str) -> None:
    """A job as somebody with the server's password would write it past our queue."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    record = {"data": data, "created_at": now, "origin": "jobs", "status": "queued", **fields}
    server.hset(f"rq:job:{job}", mapping=record)
    server.sadd("rq:queues", "rq:queue:jobs")
    server.rpush("rq:queue:jobs", job)


def call(name: str, *args: object, instance: object = None) -> bytes:
    return zlib.compress(json.dumps([name, instance, args, {}]).encode())


def status_of(server: Redis, job: str) -> str:
    return (server.hget(f"rq:job:{job}", "status") or b"gone").decode()


def test_an_allowed_job_is_done(jobs: Jobs, server: Redis) -> None:
    assert jobs.enqueue("basename", "one", path="/a/b")
    jobs.work(burst=True)
    assert jobs.find("one").result == "b"
    assert jobs.refused == 0


def test_a_forged_job_opens_no_file(jobs: Jobs, server: Redis, tmp_path: Path) -> None:
    forge(server, call("builtins.open", str(tmp_path / "made"), "w"))
    jobs.work(burst=True)
    assert not (tmp_path / "made").exists()
    assert status_of(server, "forged") == "failed"
    assert jobs.refused == 1


def test_the_same_job_would_be_done_by_rq_as_it_comes(server: Redis, tmp_path: Path) -> None:
    """So that the test above can fail."""
    from rq import Queue, SimpleWorker
    from rq.serializers import JSONSerializer

    forge(server, call("os.mkdir", str(tmp_path / "made")))
    queue = Queue("jobs", connection=server, serializer=JSONSerializer)
    SimpleWorker([queue], connection=server, serializer=JSONSerializer).work(burst=True)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("when", ["success", "failure", "stopped"])
def test_a_callback_is_never_called(jobs: Jobs, server: Redis, tmp_path: Path, when: str) -> None:
    name = "parse" if when == "failure" else "basename"
    callback = {f"{when}_callback_name": "os.abort", f"{when}_callback_timeout": "5"}
    forge(server, call(name, "x"), **callback)
    jobs.work(burst=True)
    assert status_of(server, "forged") == "failed"
    assert jobs.refused == 1


def test_a_web_address_is_never_called(jobs: Jobs, server: Redis) -> None:
    hook = {"url": "http://127.0.0.1:9/", "job_status": "failed", "method": "GET", "timeout": 1}
    forge(server, call("basename", "x"), webhooks=json.dumps([hook]))
    jobs.work(burst=True)
    assert jobs.refused == 1


def test_an_object_to_call_is_refused(jobs: Jobs, server: Redis) -> None:
    forge(server, call("basename", instance={"a": 1}))
    jobs.work(burst=True)
    assert jobs.refused == 1


def test_a_pickle_is_not_read(jobs: Jobs, server: Redis, tmp_path: Path) -> None:
    made = tmp_path / "made"
    pickled = f"cos\nmkdir\n(S'{made}'\ntR.".encode()
    forge(server, zlib.compress(pickled))
    jobs.work(burst=True)
    assert not made.exists()
    assert status_of(server, "forged") == "failed"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "nonsense"},
        {"created_at": "yesterday"},
        {"timeout": "x"},
        {"dependency_ids": "["},
    ],
)
def test_a_broken_job_does_not_end_the_worker(
    jobs: Jobs, server: Redis, fields: dict[str, str]
) -> None:
    forge(server, call("basename", "/a/b"), **fields)
    forge(server, call("basename", "/a/b"), "good")
    jobs.work(burst=True)
    assert status_of(server, "good") == "finished"


def test_a_job_that_swells_when_it_is_unpacked_is_refused(jobs: Jobs, server: Redis) -> None:
    forge(server, zlib.compress(b" " * 2**26))
    jobs.work(burst=True)
    assert jobs.refused == 1
