"""The labeller as a process: requests in a folder, labels in the server."""

from __future__ import annotations

import signal
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import theory_code
from commands import complaint, ended, started, until
from iron_labels import ENERGY, octahedron, spectrum
from ports import free_port

from edgestream.embedded import EmbeddedServer
from stream.labels import read_label
from stream.redis_label_stream import RedisLabelStream
from trainer.label_request import RequestFolder, request_of

LENGTHS = [1.9, 2.0, 2.1]


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.processes
def test_the_labeller_answers_requests_until_it_is_stopped(tmp_path: Path) -> None:
    requests = RequestFolder(tmp_path / "labels")
    table = tmp_path / "table.npz"
    np.savez(table, length=LENGTHS, energy=ENERGY, mu=np.array([spectrum(x) for x in LENGTHS]))
    for x in LENGTHS:
        why = {"novelty": 1.0, "uncertainty": 0.1, "t_asked": x}
        requests.add(request_of(octahedron(x), 0, "K", f"{x}", **why))
    theory = [sys.executable, theory_code.__file__, str(table), "feff"]
    words = ["--labels", tmp_path / "labels", "--program", "feff"]
    words += ["--metrics-port", metrics := free_port(), "--", *theory]
    with EmbeddedServer() as server:
        stream = RedisLabelStream(server.url)
        with started("labeller", "--redis-url", server.url, *words) as process:
            until(lambda: stream.state().waiting == len(LENGTHS))
            until(lambda: requests.waiting() == [])
            until(lambda: 'edgestream_label_requests{state="answered"} 3.0' in scraped(metrics))
            assert ended(process, signal.SIGTERM)[0] == 0
        found = [read_label(w.payload) for w in stream.waiting(block_s=0)]
        stream.close()
    assert sorted(label.name for label in found) == ["1.9", "2.0", "2.1"]


@pytest.mark.processes
def test_no_calculation_goes_on_when_the_labeller_is_stopped(tmp_path: Path) -> None:
    requests = RequestFolder(tmp_path / "labels")
    why = {"novelty": 1.0, "uncertainty": 0.1, "t_asked": 0.0}
    requests.add(request_of(octahedron(), 0, "K", "octahedron", **why))
    theory = [sys.executable, theory_code.__file__, "no.npz", "feff", "hang"]
    words = ["--labels", tmp_path / "labels", "--program", "feff", "--", *theory]
    with (
        EmbeddedServer() as server,
        started("labeller", "--redis-url", server.url, *words) as process,
    ):
        until(lambda: any(p.read_text() for p in requests.folder.glob("*/1/pid")))
        (pid,) = (int(p.read_text()) for p in requests.folder.glob("*/1/pid"))
        assert ended(process, signal.SIGTERM)[0] == 0
        until(lambda: not Path(f"/proc/{pid}").exists())
    assert len(requests.waiting()) == 1


def test_a_program_that_is_not_known_is_named(tmp_path: Path) -> None:
    words = ["labeller", "--labels", tmp_path, "--program", "orca", "--", "orca"]
    assert "orca" in complaint(*words)
