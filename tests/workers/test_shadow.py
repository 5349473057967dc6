"""A shadow predicts when nothing waits, and what it would have said is counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from desk import Cursed, Desk, moved
from other_versions import other_version

from model_store.bundle import Bundle
from stream.memory_broker import MemoryBroker
from stream.settings import Settings
from stream.shadows import ShadowCount, bins_of
from workers import shadow as shadows
from workers.catalogue import Choice
from workers.predictor import Predictor
from workers.worker import Worker
from xas.measures import percentage_error


@pytest.fixture(scope="module")
def beside(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(other_version(bundle, tmp_path_factory.mktemp("s") / "two", by=0.5))


@pytest.fixture
def desk(predictor: Predictor, beside: Predictor, clock: Clock) -> Iterator[Desk]:
    desk = Desk(MemoryBroker(Settings(), clock), {"tiny": predictor, "tiny@2": beside}, clock)
    desk.choices["tiny"] = Choice(champion="tiny", shadow="tiny@2")
    yield desk
    desk.close()


def idle(worker: Worker, desk: Desk) -> None:
    """Until the shadow has nothing to do."""
    while worker._shadow.waits:
        assert worker.step(0) == 0
    worker._count_shadows()


def test_what_a_shadow_would_have_said_is_counted(
    desk: Desk, predictor: Predictor, beside: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "PIECE_ATOMS", 20)
    frames = moved(iron_oxides(50), 7, 0, np.nan)
    worker = desk.worker()
    desk.push(frames[:30])
    desk.push(frames[30:])
    worker.step(0)
    assert desk.broker.shadows() == []
    idle(worker, desk)
    (count,) = desk.broker.shadows()
    good = frames.take(np.delete(np.arange(50), 7))
    theirs, own = beside.predict(good).intensity, predictor.predict(good).intensity
    percent = np.abs(percentage_error(theirs, own))
    assert (count.run, count.frames, count.sites, count.skipped) == ("run-tiny", 50, 49, 0)
    assert count.max_percent == pytest.approx(percent.max(), rel=1e-5)
    assert count.median_percent == pytest.approx(float(np.median(percent)), rel=0.13)


def test_frames_come_before_shadows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "ATOMS_KEPT", 45)
    worker = desk.worker()
    for i in range(6):
        desk.push(iron_oxides(5, first=5 * i))
        assert worker.step(0) == 1
    idle(worker, desk)
    (count,) = desk.broker.shadows()
    assert (count.frames, count.skipped) == (10, 20)
    assert desk.status() == [1] * 30


def test_a_shadow_that_fails_costs_nothing(desk: Desk, beside: Predictor) -> None:
    desk.predictors["tiny@2"] = Cursed(beside, cursed=26)
    worker = desk.worker()
    desk.push(iron_oxides(5))
    worker.step(0)
    idle(worker, desk)
    (count,) = desk.broker.shadows()
    assert (count.frames, count.failed) == (0, 5)
    assert desk.status() == [1] * 5


def test_counts_add_up() -> None:
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0.0, 1.0, 3000))
    parts = [
        ShadowCount(run="a", served="m@1", shadow="m@2", sites=len(part), bins=bins_of(part))
        for part in np.array_split(values, 3)
    ]
    both = parts[0].plus(parts[1]).plus(parts[2])
    assert both.sites == 3000
    assert both.median_percent == pytest.approx(float(np.median(values)), rel=0.07)
    assert bins_of(np.array([0.0])) == {"0": 1}
