"""``edgestream label`` and ``archive``, on a real server and a real archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import call
from iron_labels import AXES, ENERGY, NUMBERS, octahedron, spectrum

import edgestream
from edgestream.embedded import EmbeddedServer
from stream.redis_label_stream import RedisLabelStream
from trainer.archivist import Archivist
from xas.errors import BadLabels, Reject

pytestmark = pytest.mark.processes
LENGTHS = (1.9, 2.0, 2.1)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    mu = np.array([spectrum(k) for k in LENGTHS])
    mu[2] = np.nan
    np.savez(
        tmp_path / "labels.npz",
        numbers=np.array(NUMBERS * 3, dtype=np.uint8),
        positions=np.concatenate([AXES * k for k in LENGTHS]),
        offsets=np.array([0, 7, 14, 21]),
        mu=mu,
        energy=ENERGY,
    )
    return tmp_path / "labels.npz"


def archived(url: str, folder: Path) -> list[str]:
    stream = RedisLabelStream(url)
    archivist = Archivist(stream, folder)
    told = [t.outcome for t in archivist.step(block_s=0)]
    archivist.close()
    stream.close()
    return told


def test_pushed_labels_reach_the_archive_and_come_out_again(
    server: EmbeddedServer, npz: Path, tmp_path: Path
) -> None:
    words = ("label", "push", npz, "--theory", "FDMNES", "--redis-url", server.url)
    pushed = call(*words, "--json", "-q", code=2)
    said = json.loads(pushed.stdout)
    assert (said["labels"], said["refused"][0]["label"]) == (2, "labels 2")
    assert "1 are no labels: its spectrum is not finite" in pushed.stderr
    status = json.loads(call("label", "status", "--json", "--redis-url", server.url).stdout)
    assert (status["waiting"], status["archive"]) == (2, "- (not running)")
    assert archived(server.url, tmp_path / "archive") == ["new", "new"]
    out = tmp_path / "out.npz"
    exported = call("archive", "export", tmp_path / "archive", out, "--json").stdout
    again = call("label", "push", out, "--redis-url", server.url, "-q").stdout
    assert again == "2 labels pushed\n"
    assert archived(server.url, tmp_path / "archive") == ["duplicate", "duplicate"]
    listed = json.loads(call("archive", "list", tmp_path / "archive", "--json").stdout)
    assert listed["snapshots"][0]["snapshot"] == json.loads(exported)["snapshot"]
    assert "0 faults" in call("archive", "verify", tmp_path / "archive").stdout


def test_checking_needs_no_server(npz: Path) -> None:
    words = ("label", "push", npz, "--theory", "x", "--check", "-q")
    assert call(*words, code=2).stdout == "2 labels are good\n"


def test_a_folder_that_is_no_archive_is_said(tmp_path: Path) -> None:
    assert "no archive of labels" in call("archive", "list", tmp_path, code=2).stderr


def test_labels_are_given_from_python(server: EmbeddedServer, tmp_path: Path) -> None:
    with edgestream.connect(server.url) as es:
        sha256 = es.label(octahedron(), ENERGY, spectrum(), source="here", theory="FDMNES")
        with pytest.raises(BadLabels, match="in keV"):
            es.label(octahedron(), ENERGY / 1000, spectrum(), absorber=0)
    assert archived(server.url, tmp_path / "archive") == ["new"]
    shown = json.loads(call("archive", "show", tmp_path / "archive", "0", "--json").stdout)
    assert (shown["sha256"], shown["source"]) == (sha256, "here")


def test_a_service_of_our_own_has_no_trainer(tmp_path: Path) -> None:
    with (
        edgestream.connect(out=tmp_path, workers=0) as es,
        pytest.raises(Reject, match="a service with a trainer"),
    ):
        es.label(octahedron(), ENERGY, spectrum())
