"""What a worker tells of its work: numbers to its recorder, words about frames that failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from bundles import iron_oxides
from clocks import Clock
from desk import Cursed, Desk, with_element

from stream.log import facts
from stream.memory_broker import MemoryBroker
from stream.metrics import Meter
from stream.recorder import Predicted, Recorder
from stream.settings import Settings
from workers.obituaries import INTERVAL_S
from workers.predictor import Predictor
from xas.errors import WorkerUnfit


@pytest.fixture
def desk(predictor: Predictor, clock: Clock) -> Iterator[Desk]:
    desk = Desk(MemoryBroker(Settings(), clock), {"tiny": predictor}, clock)
    yield desk
    desk.close()


@dataclass
class Listener(Recorder):
    """Remembers what was predicted."""

    heard: list[Predicted] = field(default_factory=list)

    def predicted(self, batch: Predicted) -> None:
        self.heard.append(batch)


def test_a_worker_tells_of_its_batches_and_of_where_the_time_went(desk: Desk) -> None:
    listener = Listener()
    desk.push(iron_oxides(2))
    desk.push(iron_oxides(3))
    desk.worker(recorder=listener).step(0)
    (batch,) = listener.heard
    assert (batch.n_frames, batch.model) == (5, "tiny")
    assert [(b.first, b.n_frames) for b in batch.blocks] == [(0, 2), (2, 3)]
    assert batch.featurise_s > 0.0
    assert batch.infer_s > 0.0


def test_frames_are_counted_once_whoever_fails(desk: Desk) -> None:
    meter = Meter("worker")
    desk.push(with_element(iron_oxides(4), frame=2, number=119))
    desk.push(iron_oxides(2))
    worker = desk.worker(recorder=meter)
    while worker.step(0):
        pass
    counts = {name: meter.registry.get_sample_value(f"edgestream_{name}_frames_total")
              for name in ("received", "completed")}  # fmt: skip
    assert counts == {"received": 6.0, "completed": 6.0}
    reasons = {"reason": "BadMessage"}
    dead = meter.registry.get_sample_value("edgestream_dead_lettered_frames_total", reasons)
    assert dead == sum(letter.n_frames for letter in desk.dead()) == 4


def test_the_first_failure_is_told_with_run_index_and_model_and_the_others_are_counted(
    desk: Desk, predictor: Predictor, clock: Clock
) -> None:
    desk.predictors["tiny"] = Cursed(predictor, cursed=92)
    worker = desk.worker()
    said: list[str] = []
    worker._obituaries._tell = said.append
    for _ in range(3):
        desk.push(with_element(iron_oxides(2), frame=1, number=92))
        worker.step(0)
    clock.sleep(INTERVAL_S)
    desk.push(with_element(iron_oxides(2), frame=1, number=92))
    worker.step(0)
    first, second = said
    assert first == "run 'run-tiny': frame 1 has no spectrum: a cursed element"
    assert facts(first) == {"run": "run-tiny", "index": 1, "model": "tiny", "level": "warning"}
    assert second.endswith("(and 2 more)")
    assert facts(second)["index"] == 7


def test_the_last_word_of_an_unfit_worker_stays_for_those_who_look(
    desk: Desk, predictor: Predictor
) -> None:
    class Unfit(Cursed):
        def check(self) -> None:
            raise WorkerUnfit("the check input fails")

    desk.predictors["tiny"] = Unfit(predictor)
    desk.push(iron_oxides(1))
    with pytest.raises(WorkerUnfit):
        desk.worker().run(threading.Event())
    (word,) = desk.broker.workers()
    assert word.stopped
    assert "the check input fails" in word.problem
