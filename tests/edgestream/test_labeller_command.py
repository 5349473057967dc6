"""The labeller as a process: requests in a folder, labels in the server."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
import theory_code
from commands import call, complaint, ended, started, until
from iron_labels import ENERGY, octahedron, spectrum

from edgestream.embedded import EmbeddedServer
from stream.labels import read_label
from stream.redis_label_stream import RedisLabelStream
from trainer.label_request import RequestFolder, request_of

LENGTHS = [1.9, 2.0, 2.1]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With machines that have much to do."""
    monkeypatch.setattr(commands, "PATIENCE_S", 240.0)


@pytest.mark.processes
def test_the_labeller_answers_requests_until_it_is_stopped(tmp_path: Path) -> None:
    requests = RequestFolder(tmp_path / "labels")
    table = tmp_path / "table.npz"
    np.savez(table, length=LENGTHS, energy=ENERGY, mu=np.array([spectrum(x) for x in LENGTHS]))
    for x in LENGTHS:
        why = {"novelty": 1.0, "uncertainty": 0.1, "t_asked": x}
        requests.add(request_of(octahedron(x), 0, "K", f"{x}", **why))
    theory = [sys.executable, theory_code.__file__, str(table), "feff"]
    words = ["--labels", tmp_path / "labels", "--program", "feff", "--", *theory]
    with EmbeddedServer() as server:
        stream = RedisLabelStream(server.url)
        with started("labeller", "--redis-url", server.url, *words) as process:
            until(lambda: stream.state().waiting == len(LENGTHS))
            until(lambda: requests.waiting() == [])
            assert ended(process, signal.SIGTERM)[0] == 0
        found = [read_label(w.payload) for w in stream.waiting(block_s=0)]
        stream.close()
    assert sorted(label.name for label in found) == ["1.9", "2.0", "2.1"]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.processes
def test_calculations_are_listed_cancelled_and_ended_with_the_labeller(tmp_path: Path) -> None:
    requests = RequestFolder(tmp_path / "labels")
    for x in (1.9, 2.0):
        why = {"novelty": 1.0, "uncertainty": 0.1, "t_asked": x}
        requests.add(request_of(octahedron(x), 0, "K", "octahedron", **why))
    theory = [sys.executable, theory_code.__file__, "no.npz", "feff", "hang"]
    words = ["--labels", tmp_path / "labels", "--program", "feff", "--at-once", 2, "--", *theory]
    with EmbeddedServer() as server:
        where = ("--redis-url", server.url)
        with started("labeller", *where, *words) as process:
            pids = [requests.folder / request.id / "1" / "pid" for request in requests.all()]
            until(lambda: all(path.exists() and path.read_text() for path in pids))
            first, second = (int(path.read_text()) for path in pids)
            one, other = (f"label-{request.id}" for request in requests.all())
            assert "was running" in call("jobs", "cancel", one, *where).stdout
            until(lambda: not is_there(first))
            listed = json.loads(call("jobs", "list", "--json", *where).stdout)
            assert is_there(second)
            assert {(job["id"], job["kind"], job["state"]) for job in listed} == {
                (one, "calculation", "cancelled"),
                (other, "calculation", "running"),
            }
            assert ended(process, signal.SIGTERM)[0] == 0
            until(lambda: not is_there(second))
    assert len(requests.waiting()) == 2


def test_a_program_that_is_not_known_is_named(tmp_path: Path) -> None:
    words = ["labeller", "--labels", tmp_path, "--program", "orca", "--", "orca"]
    assert "orca" in complaint(*words)
