"""``edgestream trainer``: labels go in, a champion comes out, whatever is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import commands
import numpy as np
import pytest
from commands import call, complaint, processes_naming, started, until
from ports import free_port

from edgestream.embedded import EmbeddedServer
from model_store.store import Store
from stream.jobs import Jobs, JobState

sys.path.append(str(Path(__file__).parents[1] / "trainer"))
from made_labels import made_labels

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.processes]


@pytest.fixture(scope="module")
def labels_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "made.npz"
    arrays = made_labels(120)
    np.savez(path, **arrays, material=arrays["name"])
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    monkeypatch.setattr(commands, "PATIENCE_S", 240.0)  # trainings, on machines with much to do
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with EmbeddedServer() as made:
        yield made


def job_of(jobs: Jobs) -> JobState | None:
    return next(iter(jobs.all()), None)


def is_done(jobs: Jobs) -> bool:
    job = job_of(jobs)
    assert job is None or job.state in ("waiting", "running", "done"), job
    return job is not None and job.state == "done"


def test_pushed_labels_become_a_champion_although_the_training_is_killed(
    server: EmbeddedServer, labels_npz: Path, tmp_path: Path
) -> None:
    archive, models = tmp_path / "labels", tmp_path / "models"
    where = ("--redis-url", server.url)
    options = ("--labels", archive, "--models", models, "--every-labels", 100, "--quick")
    options += ("--metrics-port", metrics := free_port())
    jobs = Jobs(server.url)
    with started("trainer", "fe-made", *options, *where):
        call("label", "push", labels_npz, "--theory", "made", "-q", *where)
        until(lambda: bool(processes_naming("trainings/train-fe-made")))
        for pid in processes_naming("trainings/train-fe-made"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: is_done(jobs))
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
            assert "edgestream_archived_labels 120.0" in answer.read().decode()
    job = job_of(jobs)
    jobs.close()
    assert job is not None
    assert (job.result["ending"], job.result["candidate"]) == ("promoted", "fe-made@1")
    assert job.progress["epochs"] <= job.progress["of_epochs"]
    store = Store([models])
    assert store.aliases("fe-made") == {"champion": 1}
    training = store.get("fe-made").manifest.training
    assert training is not None
    assert training.data.n_labels == job.result["n_learned"] < 120
    (listed,) = json.loads(call("jobs", "list", "--json", *where).stdout)
    assert (listed["id"], listed["state"]) == (job.id, "done")
    assert "fe-made@1" in call("jobs", "show", job.id, *where).stdout
    assert "nothing to cancel" in call("jobs", "cancel", job.id, *where).stdout


def test_a_job_that_does_not_exist_is_named(server: EmbeddedServer) -> None:
    assert "edgestream jobs list" in complaint("jobs", "show", "none", "--redis-url", server.url)
