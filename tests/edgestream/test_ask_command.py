"""``edgestream ask``: frames become requests while they stream, and afterwards."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import commands
import numpy as np
import pytest
from commands import call, complaint, ended, started, until
from iron_labels import iron_archive, octahedron

import edgestream
from edgestream import run_sites
from edgestream.local import LocalService, ServiceOptions
from edgestream.run_sites import RunSites, WantedSites
from model_store.store import Store
from trainer.label_request import RequestFolder
from trainer.requests import RequestRules
from xas.errors import RunRefused
from xas.structure import StructureBatch

MODEL = "fe-k-fast"
LENGTHS = np.linspace(1.8, 2.3, 20)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With machines that have much to do."""
    monkeypatch.setattr(commands, "PATIENCE_S", 240.0)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    iron_archive(folder, LENGTHS, np.array(Store([]).get(MODEL).manifest.output.energy_ev))
    return folder


def frames(*lengths: float) -> StructureBatch:
    return StructureBatch.concatenate([octahedron(x) for x in lengths])


def read_to_end(sites: RunSites) -> Iterator[WantedSites]:
    while not sites.at_end:
        block = sites.read()
        assert block is not None
        yield block


@pytest.mark.processes
def test_frames_become_requests_while_they_stream(archive: Path, tmp_path: Path) -> None:
    requests = RequestFolder(archive)
    options = ("--model", MODEL, "--labels", archive, "--per-hour", 36000, "--novelty", 0.05)
    with (
        LocalService(ServiceOptions(out=tmp_path, workers=1)) as service,
        started("ask", "--follow", *options, "--redis-url", service.url) as process,
        edgestream.connect(service.url) as es,
        es.run("live", MODEL) as run,
    ):
        run.push(frames(1.5, *LENGTHS))
        until(lambda: len(requests.all()) == 1)
        run.push(frames(*LENGTHS, 2.9))
        until(lambda: len(requests.all()) == 2)
        assert run.state().sealed is None
        code, _, said = ended(process, signal.SIGTERM)
    assert code == 0, said
    assert [request.name for request in requests.all()] == ["live frame 0", "live frame 41"]
    assert (requests.all()[0].structure().positions == octahedron(1.5).positions).all()


@pytest.mark.processes
def test_a_result_file_is_asked_about_afterwards_and_only_where_it_can_be(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with edgestream.connect(out=tmp_path, workers=1) as es:
        with es.run("kept", MODEL) as run:
            run.push(frames(*LENGTHS, 1.5, *LENGTHS, 2.9))
        with es.run("bare", MODEL, keep_structures=False) as bare:
            bare.push(frames(1.5))
        for one in (run, bare):
            one.result(60.0).close()
    words = ("--model", MODEL, "--labels", archive, "--novelty", 0.05, "--json")
    made = json.loads(call("ask", tmp_path / "kept.h5", *words).stdout)
    assert sorted(request["name"] for request in made) == ["kept frame 20", "kept frame 41"]
    with pytest.raises(RunRefused, match="without structures"):
        RunSites(tmp_path / "bare.h5", MODEL, RequestRules())
    other = RunSites(tmp_path / "kept.h5", "another", RequestRules(novelty=0.05))
    assert (other.read(), other.at_end) == (None, True)
    monkeypatch.setattr(run_sites, "BLOCK", 8)
    monkeypatch.setattr(run_sites, "LOOKED_AT", 3)
    monkeypatch.setattr(run_sites, "BEHIND", 10)
    blocks = list(read_to_end(RunSites(tmp_path / "kept.h5", MODEL, RequestRules(novelty=1e-9))))
    assert [len(block.sites.atom) for block in blocks] == [3, 3, 3, 8, 8, 2]
    assert sum(block.mass * len(block.sites.atom) for block in blocks) == pytest.approx(42)


def test_asking_wants_a_file_or_to_follow(archive: Path) -> None:
    assert "--follow" in complaint("ask", "--model", MODEL, "--labels", archive)
