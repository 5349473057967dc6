"""A model is changed while frames stream: nothing is lost, and every row names who made it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from other_versions import other_version
from stand import Stand, moving_frames
from swaps import assert_rows_are_their_models, make_store, stream_with_swaps

from edgestream.models import open_store
from stream.messages import RunSpec
from stream.producer import Producer
from workers.serving import challenged

pytestmark = pytest.mark.processes


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    make_store(tmp_path / "models")
    yield made
    made.close()


def edgestream(*words: str) -> object:
    command = [sys.executable, "-m", "edgestream", *words, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def start_workers(stand: Stand, *names: str) -> Path:
    place = stand.folder / "models"
    for name in names:
        stand.start("worker", name, "--name", name, "--models", str(place))
    stand.wait_for_workers(len(names))
    return place


def test_a_moved_alias_loses_no_frame_and_every_row_is_that_of_its_model(stand: Stand) -> None:
    frames, place = moving_frames(15_000), stand.folder / "models"
    file, mover = stream_with_swaps(  # the stream outlasts several looks at the alias
        stand, frames, place, swaps=50, pause_s=0.8, push_pause_s=0.02
    )
    made_by = assert_rows_are_their_models(file, frames, place)
    assert mover.moved_at
    assert set(made_by) == {"fe-k@1", "fe-k@2"}
    assert not stand.dead_letters()


def test_a_challengers_share_survives_a_killed_worker(stand: Stand) -> None:
    frames = moving_frames(1500)
    place = start_workers(stand, "w0")
    open_store(place).promote("fe-k", 2, "challenger", share=0.3)
    stand.start_writer()
    with stand.pushing("md", frames):
        stand.wait("md", lambda state: state.watermark > 200)
        stand.signal("w0", signal.SIGSTOP)  # so that it surely dies with a batch in hand
        start_workers(stand, "w1")
        stand.kill("w0")
    file = stand.wait_until_finished("md")
    made_by = np.array(assert_rows_are_their_models(file, frames, place))
    mine = challenged("md", 0, len(frames), 0.3)
    late = int(np.flatnonzero(made_by == "fe-k@2")[0])  # the alias was there before w0 looked
    np.testing.assert_array_equal(made_by[late:] == "fe-k@2", mine[late:])


def test_status_says_what_a_worker_could_not_load(stand: Stand) -> None:
    place = start_workers(stand, "w0")
    stand.start_writer()
    producer = Producer(stand.broker, "md", RunSpec(model="fe-k"))
    producer.push(moving_frames(10))
    stand.wait("md", lambda state: state.watermark == 10)
    store = open_store(place)
    model = store.home.folder("fe-k", 2) / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes()[:1000])
    store.promote("fe-k", 2)
    stand.wait("md", lambda _: any(w.problem for w in stand.broker.workers()))
    status = edgestream("status", "--redis-url", stand.url)
    assert isinstance(status, dict)
    (worker,) = status["workers"]
    assert "does not match its SHA-256" in worker["problem"]
    assert "fe-k@1 goes on serving" in worker["problem"]
    assert any("does not match its SHA-256" in line for line in status["trouble"])
    assert stand.log("w0").count("does not match its SHA-256") == 1
    producer.push(moving_frames(10, seed=2))
    stand.wait("md", lambda state: state.watermark == 20)


def test_what_a_shadow_would_have_said_can_be_looked_at(stand: Stand) -> None:
    place = start_workers(stand, "w0")
    open_store(place).promote("fe-k", 2, "shadow")
    stand.start_writer()
    with stand.pushing("md", moving_frames(200)):
        pass
    stand.wait("md", lambda _: any(c.frames + c.skipped == 200 for c in stand.broker.shadows()))
    for found in (
        edgestream("models", "shadow", "fe-k", "--redis-url", stand.url),
        edgestream("status", "--redis-url", stand.url)["shadows"],  # type: ignore[index]
    ):
        (difference,) = found  # type: ignore[misc]
        assert (difference["served"], difference["shadow"]) == ("fe-k@1", "fe-k@2")
        assert 0.0 < difference["median_percent"] <= 1.1 * difference["max_percent"]


def test_a_run_keeps_its_grid_when_the_next_champion_has_another(stand: Stand) -> None:
    place = start_workers(stand, "w0")
    stand.start_writer()
    producer = Producer(stand.broker, "md", RunSpec(model="fe-k"))
    producer.push(moving_frames(10))
    stand.wait("md", lambda state: state.watermark == 10)
    store = open_store(place)
    moved = other_version(store.get("fe-k@1"), stand.folder / "v3", shift_ev=1.0)
    store.promote("fe-k", store.put(moved.folder))
    stand.wait("md", lambda _: "fe-k is fe-k@3 now" in stand.log("w0"))
    producer.push(moving_frames(10))
    producer.seal()
    other = Producer(stand.broker, "md2", RunSpec(model="fe-k"))
    other.push(moving_frames(10))
    other.seal()
    assert {m.version for m in stand.wait_until_finished("md").models} == {"1"}
    assert {m.version for m in stand.wait_until_finished("md2").models} == {"3"}
    assert "run 'md' cannot change its model" in stand.log("w0")
