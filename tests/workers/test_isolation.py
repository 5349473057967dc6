from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from desk import Desk, moved, with_element
from mortal_child import BABBLES, DIES_ONCE, HANGS, KILLS

from model_store.bundle import Bundle
from stream.memory_broker import MemoryBroker
from stream.settings import Settings
from workers.batcher import Job
from workers.isolation import read_message, write_message
from workers.predictor import Predictor
from xas.errors import ServerUnreachable, WorkerUnfit

pytestmark = pytest.mark.processes


@pytest.fixture
def desk(
    predictor: Predictor, bundle: Bundle, clock: Clock, child_program: Path, tmp_path: Path
) -> Iterator[Desk]:
    child = [sys.executable, str(child_program), str(bundle.folder), str(tmp_path / "once")]
    desk = Desk(MemoryBroker(Settings(), clock), {"tiny": predictor}, clock, child)
    yield desk
    desk.close()


def test_an_entry_that_came_back_is_tried_alone(desk: Desk, predictor: Predictor) -> None:
    frames = moved(iron_oxides(5), 1, 0, np.nan)
    desk.push(frames[:3])
    desk.push(frames[3:])
    desk.lend()
    worker = desk.worker()
    while worker.step(0):
        pass
    assert desk.status() == [1, 2, 1, 1, 1]
    expected = predictor.predict(frames.take(np.array([0, 2, 3, 4]))).intensity
    np.testing.assert_allclose(desk.intensity(), expected, atol=1e-6)
    (letter,) = desk.dead()
    assert (letter.first, letter.error) == (1, "BadStructure")


def test_a_frame_that_kills_the_child_pays_alone(desk: Desk) -> None:
    frames = with_element(with_element(iron_oxides(5), 1, KILLS), 4, KILLS)
    desk.push(frames)
    desk.lend()
    desk.worker().step(0)
    assert desk.status() == [1, 2, 1, 1, 2]
    assert [(d.first, d.attempts, d.error) for d in desk.dead()] == [
        (1, 2, "ChildFailed"),
        (4, 2, "ChildFailed"),
    ]
    assert "the child process died (exit status -9)" in desk.dead()[0].reason


def test_a_frame_that_hangs_the_child_pays_alone(desk: Desk) -> None:
    desk.timeout_s = 2.5
    desk.push(with_element(iron_oxides(2), 0, HANGS))
    desk.lend()
    desk.worker().step(0)
    assert desk.status() == [2, 1]
    assert "no answer within 2.5 s" in desk.dead()[0].reason


def test_a_frame_that_kills_the_child_once_is_innocent(desk: Desk) -> None:
    desk.push(with_element(iron_oxides(2), 0, DIES_ONCE))
    desk.lend()
    desk.worker().step(0)
    assert (desk.status(), desk.dead()) == ([1, 1], [])


def test_a_child_that_answers_nonsense_has_failed(desk: Desk) -> None:
    desk.push(with_element(iron_oxides(2), 0, BABBLES))
    desk.lend()
    desk.worker().step(0)
    assert desk.status() == [2, 1]
    assert "answered nonsense" in desk.dead()[0].reason


def test_an_answer_that_nobody_waited_for_is_not_the_next_frames(
    desk: Desk, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.isolation.BEAT_S", 0.001)
    beats = iter([None, ServerUnreachable("away")])  # the second comes while the child starts
    frames = iron_oxides(2)
    desk.push(frames)
    first, second = Job.of(desk.lend()[0]).frames()
    isolated = desk.isolation()
    with pytest.raises(ServerUnreachable):
        isolated.predict(first, partial(raise_next, beats))
    found = isolated.predict(second).intensity
    np.testing.assert_allclose(found, predictor.predict(frames[1:]).intensity, atol=1e-6)


def raise_next(errors: Iterator[Exception | None]) -> None:
    if error := next(errors):
        raise error


@pytest.mark.parametrize("program", ["raise SystemExit(3)", "import os; os.write(1, b'oops')"])
def test_a_child_that_cannot_work_at_all_is_no_frames_fault(desk: Desk, program: str) -> None:
    desk.child = [sys.executable, "-c", program]
    desk.push(iron_oxides(2))
    desk.lend()
    with pytest.raises(WorkerUnfit, match="fails on the check input of tiny too"):
        desk.worker().step(0)
    assert (desk.results(), desk.dead()) == ([], [])
    assert len(desk.broker.claim("another")) == 1


def test_bytes_that_nobody_can_read_never_reach_the_child(desk: Desk) -> None:
    desk.child = ["/nowhere/at/all"]
    desk.push_bytes(b"not ours", 2)
    desk.lend()
    desk.worker().step(0)
    assert desk.status() == [2, 2]


def test_a_message_that_breaks_off_is_the_end() -> None:
    pipe = io.BytesIO()
    write_message(pipe, b"hello")
    whole = pipe.getvalue()
    assert read_message(io.BytesIO(whole)) == b"hello"
    for end in range(len(whole)):
        assert read_message(io.BytesIO(whole[:end])) == b""
