"""Poison, its cause mended, requeued: with real servers, workers, writers, and kills."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read
from stand import SETTINGS, Stand, assert_all_predicted, moving_frames

import model_store
from edgestream.models import open_store
from edgestream.prediction import predict
from edgestream.settings_words import settings_as_options
from stream.dead_letters import RunLetters
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_connection import RedisConnection
from stream.result_file.reader import RunFile
from xas.structure import StructureBatch

BUILTIN = Path(model_store.__file__).parent / "builtin" / "fe-k" / "1"
pytestmark = pytest.mark.processes


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def dlq(stand: Stand, *words: object) -> Any:
    command = [sys.executable, "-m", "edgestream", "dlq", *map(str, words), "--json"]
    command += ["--redis-url", stand.url, *settings_as_options(SETTINGS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def push(stand: Stand, frames: StructureBatch, model: str, run: str = "md") -> Producer:
    producer = Producer(stand.broker, run, RunSpec(model=model), settings=SETTINGS)
    producer.push(frames)
    return producer


def until(true: Callable[[], bool], stand: Stand) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, stand.log("writer")
        time.sleep(0.02)


def n_dead(stand: Stand) -> int:
    with RunFile(stand.out / "md.h5") as file:
        return int((file.status == 2).sum())


def publish_fe_k_2(store: Path) -> None:
    """The shipped model once more, as a version that nobody had."""
    assert open_store(store).put(BUILTIN) == 2


def worker(stand: Stand, name: str = "w0") -> None:
    stand.start("worker", name, "--name", name, "--models", str(stand.folder / "store"))


def test_a_model_published_later_mends_a_finished_run(stand: Stand) -> None:
    frames = moving_frames(300)
    stand.start_writer()
    worker(stand)
    producer = push(stand, frames[:100], "fe-k")
    producer.spec = RunSpec(model="fe-k@2")
    producer.push(frames[100:200])
    producer.spec = RunSpec(model="fe-k")
    producer.push(frames[200:])
    producer.seal()
    stand.wait_until_finished("md")
    listed = dlq(stand, "list", "--run", "md", "--reason", "unknownmodel")
    assert [f["frame"] for f in listed["letters"]] == [*range(100, 200)]
    assert {f["where"] for f in listed["letters"]} == {"disk"}
    assert listed["counts"] == {"md": 100}
    publish_fe_k_2(stand.folder / "store")
    assert dlq(stand, "requeue", "--run", "md") == {"requeued": 100}
    until(lambda: n_dead(stand) == 0, stand)
    until(lambda: stand.broker.run("md").dead == 0, stand)
    with RunFile(stand.out / "md.h5") as file:
        assert_all_predicted(file, frames)
        direct = predict(frames).intensity.mean(axis=0)
        assert np.abs(file.average.intensity - direct).max() < 1e-5
    assert dlq(stand, "list")["letters"] == []


def test_a_run_that_nobody_could_predict_is_mended_by_another_model(stand: Stand) -> None:
    frames = moving_frames(60)
    stand.start_writer()
    worker(stand)
    push(stand, frames, "no-such-model").seal()
    stand.wait_until_finished("md")
    shown = dlq(stand, "show", "--run", "md", "--index", 7, "--save", stand.folder / "7.extxyz")
    assert (shown["error"], shown["structure"]["formula"]) == ("UnknownModel", "C7H6FeO3")
    assert len(read(stand.folder / "7.extxyz")) == 17
    assert dlq(stand, "drop", "--run", "md", "--index", "50:") == {"dropped": 10}
    dlq(stand, "requeue", "--run", "md", "--model", "fe-k")
    until(lambda: n_dead(stand) == 10, stand)
    with RunFile(stand.out / "md.h5") as file:
        assert_all_predicted(file, frames, set(range(50, 60)))


def test_writers_killed_while_they_amend_lose_nothing(stand: Stand) -> None:
    frames = moving_frames(400)
    stand.start_writer()
    worker(stand)
    push(stand, frames, "no-such-model").seal()
    stand.wait_until_finished("md")
    rng = np.random.default_rng(5)
    for first in range(0, 400, 80):
        dlq(stand, "requeue", "--run", "md", "--index", f"{first}:{first + 80}", "--model", "fe-k")
        time.sleep(rng.uniform(0.0, 0.5))
        stand.kill("writer")
        with RunFile(stand.out / "md.h5") as file:
            assert len(file) == 400
        stand.start_writer()
    until(lambda: n_dead(stand) == 0, stand)
    with RunFile(stand.out / "md.h5") as file:
        assert_all_predicted(file, frames)
    assert RunLetters(stand.out, "md").letters() == []
    (shard,) = stand.broker.shards()
    assert (shard.results, set(shard.held_bytes.values())) == (0, {0})


def test_a_running_run_takes_back_its_dead(stand: Stand) -> None:
    frames = moving_frames(200)
    stand.start_writer()
    worker(stand)
    producer = push(stand, frames[:50], "fe-k")
    producer.spec = RunSpec(model="no-such-model")
    producer.push(frames[50:60])
    stand.wait("md", lambda state: state.watermark == 60)
    dlq(stand, "requeue", "--run", "md", "--model", "fe-k")
    until(lambda: not RunLetters(stand.out, "md").letters(), stand)
    producer.spec = RunSpec(model="fe-k")
    producer.push(frames[60:])
    producer.seal()
    stand.wait_until_finished("md")
    until(lambda: n_dead(stand) == 0, stand)
    with RunFile(stand.out / "md.h5") as file:
        assert_all_predicted(file, frames)


def test_poison_does_not_stay_in_the_server(stand: Stand) -> None:
    frames = moving_frames(3000)
    stand.start_writer()
    worker(stand)
    push(stand, frames, "no-such-model").seal()
    stand.wait_until_finished("md")
    used = int(info(stand)["used_memory"])
    assert used < 4 * 2**20, used
    assert len(RunLetters(stand.out, "md").letters()) == 3000
    shutil.move(stand.out, stand.folder / "elsewhere")  # as for a viewer on another machine
    listed = dlq(stand, "list")
    assert (len(listed["letters"]), listed["counts"]) == (50, {"md": 3000})
    assert {f["where"] for f in listed["letters"]} == {"elsewhere"}


def info(stand: Stand) -> dict[str, str]:
    connection = RedisConnection(stand.url)
    text = connection.command("INFO", "memory").decode()
    connection.close()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
