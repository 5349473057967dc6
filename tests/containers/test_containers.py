"""``make containers``: image and compose file as they are run. Needs podman-compose or Docker.

Where no registry is, build redis.Dockerfile and prometheus.Dockerfile from here and name them:
``make containers BUILD='container-host build' EDGESTREAM_IMAGE=localhost/edgestream REDIS_IMAGE=...
PROMETHEUS_IMAGE=...``. The trainer is started where its image is named (EDGESTREAM_TRAINER_IMAGE);
Grafana and a GPU are not.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from commands import DEMO, call, status
from compose import Compose, engine, inside, until
from iron_labels import iron_label

import edgestream
from edgestream.passwords import complete_url
from stream.codec import encode
from stream.redis_label_stream import RedisLabelStream

TRAINER = ("trainer",) if "EDGESTREAM_TRAINER_IMAGE" in os.environ else ()
OURS = ("worker", "writer", "exporter", "dashboard", *TRAINER)
PARTS = ("redis", *OURS, "prometheus")
REPEATS = 20


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    project = Compose(tmp_path_factory.mktemp("compose"))
    try:
        project("up", "--detach", *PARTS)
        until(lambda: status(project.url)["workers"], "a worker is there")
        yield project
    finally:
        project.down()


@pytest.fixture(scope="module")
def long_trajectory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("md") / "md.extxyz"
    path.write_text(DEMO.read_text() * REPEATS)
    return path


def test_every_image_of_ours_computes_with_the_c_kernel(compose: Compose) -> None:
    for part in OURS:
        assert "descriptors by c (" in inside(compose.the(part), "edgestream", "--version")


@pytest.mark.parametrize("part", PARTS)
def test_no_container_is_root_or_writes_into_its_image(compose: Compose, part: str) -> None:
    container = compose.the(part)
    assert inside(container, "id", "-u").strip() != "0"
    (facts,) = json.loads(engine("inspect", container))
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert all(
        address["HostIp"] == "127.0.0.1"
        for addresses in facts["HostConfig"]["PortBindings"].values()
        for address in addresses
    )


@pytest.mark.parametrize("part", PARTS)
def test_every_healthcheck_passes(compose: Compose, part: str) -> None:
    (facts,) = json.loads(engine("inspect", compose.the(part)))
    words = facts["Config"]["Healthcheck"]["Test"]
    check = words[1:] if words[0] == "CMD" else ["/bin/sh", "-c", *words[1:]]
    until(lambda: _passes(compose.the(part), check), f"{part} is healthy")


def _passes(container: str, check: list[str]) -> bool:
    try:
        inside(container, *check)
    except AssertionError:
        return False
    return True


def test_only_the_password_lets_in_and_no_command_line_shows_it(compose: Compose) -> None:
    open_url = compose.url.partition("?")[0]
    assert "refuses the login" in call("status", "--redis-url", open_url, code=3).stderr
    password = Path(compose.url.partition("password_file=")[2]).read_text().strip()
    for part in ("redis", *OURS):
        assert password not in engine("top", compose.the(part), "args")


def test_prometheus_finds_every_process_of_ours(compose: Compose) -> None:
    port = compose.ports["PROMETHEUS"]

    def up() -> set[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets") as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        return {t["scrapeUrl"] for t in targets if t["health"] == "up"}

    until(lambda: len(up()) >= len(OURS), "all of ours are up")


def test_the_page_answers_this_host(compose: Compose) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{compose.ports['DASHBOARD']}/") as answer:
        assert "edgestream" in answer.read().decode()


@pytest.mark.skipif(not TRAINER, reason="no image of the trainer was named")
def test_a_label_from_outside_reaches_the_archive_of_the_trainer(compose: Compose) -> None:
    stream = RedisLabelStream(complete_url(compose.url))
    stream.push([encode(iron_label())])
    until(lambda: stream.state().outcomes["new"] == 1, "the trainer has archived it")
    stream.close()
    assert "1 labels" in inside(compose.the("trainer"), "edgestream", "archive", "list", "/labels")


def test_a_killed_worker_container_loses_no_frame(
    compose: Compose, long_trajectory: Path, tmp_path: Path
) -> None:
    call("push", long_trajectory, "--run", "killed", "--redis-url", compose.url)
    victim = compose.the("worker")
    engine("pause", victim)
    assert status(compose.url)["shards"][0]["pending"], "the worker had something in hand"
    engine("kill", victim)
    compose("run", "--detach", "worker", "worker", "--name", "second")
    file = finished(compose, "killed", tmp_path)
    frames = edgestream.predict(ase.io.read(DEMO, ":")).intensity
    with h5py.File(file) as found:
        assert (found["entry/status"][:] == 1).all()
        found_intensity = found["entry/intensity"][:]
    assert np.abs(found_intensity - np.tile(frames, (REPEATS, 1))).max() < 1e-6


def finished(compose: Compose, run: str, folder: Path) -> Path:
    """Wait for a run, and bring its file out of the writer's container."""
    until(lambda: state(compose, run)["finished"], f"{run} is finished")
    writer = compose.the("writer")
    assert run in inside(writer, "edgestream", "runs", "verify", f"/data/{run}.h5")
    engine("cp", f"{writer}:/data/{run}.h5", str(folder))
    return folder / f"{run}.h5"


def state(compose: Compose, run: str) -> dict[str, bool]:
    return next(found for found in status(compose.url)["runs"] if found["run"] == run)
