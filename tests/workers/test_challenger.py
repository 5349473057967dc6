"""A challenger's share of the frames: sticky, recorded, and never at the frames' expense."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from desk import Cursed, Desk, moved, with_element
from other_versions import other_version

from model_store.bundle import Bundle
from stream.memory_broker import MemoryBroker
from stream.messages import ResultBlock
from stream.result_rows import UsedModel, rows_of
from stream.settings import Settings
from workers.catalogue import Choice
from workers.predictor import Predictor
from workers.serving import challenged
from xas.structure import Sites

N = 40


@pytest.fixture(scope="module")
def challenger(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(other_version(bundle, tmp_path_factory.mktemp("c") / "two", by=0.5))


@pytest.fixture
def desk(predictor: Predictor, challenger: Predictor, clock: Clock) -> Iterator[Desk]:
    desk = Desk(MemoryBroker(Settings(), clock), {"tiny": predictor, "tiny@2": challenger}, clock)
    desk.choices["tiny"] = Choice(champion="tiny", challenger="tiny@2", share=0.3)
    yield desk
    desk.close()


def taken(result: ResultBlock) -> list[bool]:
    if result.taken is None:
        return [False] * result.n_frames
    return [bool(t) for t in result.taken.view("|b1", result.n_frames)]


def model_of_frames(desk: Desk) -> list[bool]:
    return [t for result in desk.results() for t in taken(result)]


def test_a_share_is_taken_by_hash_and_grows_without_changing_hands() -> None:
    tenth, half = (challenged("md", 0, 10_000, share) for share in (0.1, 0.5))
    assert (tenth.mean(), half.mean()) == (
        pytest.approx(0.1, abs=0.01),
        pytest.approx(0.5, abs=0.02),
    )
    assert not (tenth & ~half).any()
    np.testing.assert_array_equal(tenth[500:700], challenged("md", 500, 200, 0.1))
    assert (tenth != challenged("md2", 0, 10_000, 0.1)).any()
    assert challenged("md", 0, 100, 1.0).all()
    assert not challenged("md", 0, 100, 0.0).any()


def test_every_frame_is_predicted_by_the_model_that_its_row_names(
    desk: Desk, predictor: Predictor, challenger: Predictor
) -> None:
    frames = iron_oxides(N)
    desk.push(frames[:25])
    desk.push(frames[25:])
    desk.work()
    mine = challenged("run-tiny", 0, N, 0.3)
    assert model_of_frames(desk) == mine.tolist()
    expected = np.where(
        mine[:, None], challenger.predict(frames).intensity, predictor.predict(frames).intensity
    )
    np.testing.assert_allclose(desk.intensity(), expected, atol=1e-6)
    assert 0 < mine.sum() < N


def test_the_file_names_the_challenger_of_a_frame(desk: Desk, predictor: Predictor) -> None:
    desk.push(moved(iron_oxides(N), 3, 0, np.nan))
    desk.work()
    results, frames = (
        desk.results(),
        desk.broker.results(desk.broker.acquire(0, "me", above=0), "0", block_s=0),
    )
    energy = predictor.energy
    models = {
        predictor.identity: UsedModel(0, energy),
        results[0].challenger: UsedModel(1, energy, has_errors=False),
    }
    rows = rows_of(
        [(r, e.frames) for r, e in zip(results, frames, strict=True)],
        energy,
        models,
        keep_structures=False,
    )
    expected = challenged("run-tiny", 0, N, 0.3).astype(int)
    expected[3] = -1
    assert rows.model_index.tolist() == expected.tolist()
    unknown = np.isnan(rows.errors).all(axis=1)  # the challenger has no errors of its own
    assert unknown.tolist() == (expected != 0).tolist()


def test_named_absorbers_go_with_their_frames(
    desk: Desk, predictor: Predictor, challenger: Predictor
) -> None:
    frames, sites = iron_oxides(N), Sites(np.arange(N), np.zeros(N, dtype=np.int64))
    desk.push(frames, sites=sites)
    desk.work()
    mine = challenged("run-tiny", 0, N, 0.3)
    direct = [p.predict(frames, sites).intensity for p in (predictor, challenger)]
    np.testing.assert_allclose(
        desk.intensity(), np.where(mine[:, None], direct[1], direct[0]), atol=1e-6
    )


def test_a_batch_that_is_halved_divides_its_frames_as_before(
    desk: Desk, predictor: Predictor
) -> None:
    guilty = int(np.flatnonzero(~challenged("run-tiny", 0, N, 0.3))[5])
    desk.predictors["tiny"] = Cursed(predictor)
    desk.push(with_element(iron_oxides(N), guilty, 118))
    desk.work()
    assert desk.status() == [2 if i == guilty else 1 for i in range(N)]
    assert model_of_frames(desk) == challenged("run-tiny", 0, N, 0.3).tolist()


def test_a_challenger_that_fails_costs_no_frame(
    desk: Desk, predictor: Predictor, challenger: Predictor
) -> None:
    desk.predictors["tiny@2"] = Cursed(challenger, cursed=26)
    frames = iron_oxides(N)
    desk.push(frames)
    worker = desk.worker()
    worker.step(0)
    worker.models.look(desk)
    assert "challenger tiny@2 fails: FloatingPointError" in worker.models.problems()[0]
    assert desk.status() == [1] * N
    np.testing.assert_allclose(desk.intensity(), predictor.predict(frames).intensity, atol=1e-6)
    assert model_of_frames(desk) == [False] * N


def test_a_redelivered_frame_goes_to_the_same_model(
    desk: Desk, predictor: Predictor, challenger: Predictor, child_program: Path, tmp_path: Path
) -> None:
    folders = [str(p.bundle.folder) for p in (predictor, challenger)]
    for fixed, p in zip(folders, (predictor, challenger), strict=True):
        desk.predictors[fixed] = p
    desk.choices["tiny"] = Choice(champion=folders[0], challenger=folders[1], share=0.3)
    desk.child = [sys.executable, str(child_program), "", str(tmp_path / "once")]
    frames = iron_oxides(N)
    desk.push(frames)
    desk.lend()
    desk.work()
    mine = challenged("run-tiny", 0, N, 0.3)
    assert model_of_frames(desk) == mine.tolist()
    expected = np.where(
        mine[:, None], challenger.predict(frames).intensity, predictor.predict(frames).intensity
    )
    np.testing.assert_allclose(desk.intensity(), expected, atol=1e-6)


def test_a_server_that_forgot_learns_the_challenger_again(desk: Desk) -> None:
    worker = desk.worker()
    for _ in range(2):
        desk.push(iron_oxides(N))
        desk.broker._shards[0].models.clear()
        worker.step(0)
    known = desk.broker._shards[0].models
    assert all(name in known for r in desk.results() for name in (r.model, r.challenger))


def test_a_challenger_on_another_grid_takes_no_part(
    desk: Desk, bundle: Bundle, tmp_path: Path
) -> None:
    desk.predictors["tiny@2"] = Predictor(other_version(bundle, tmp_path / "x", shift_ev=1.0))
    worker = desk.worker()
    desk.push(iron_oxides(N))
    worker.step(0)
    assert model_of_frames(desk) == [False] * N
    assert "takes no part: tiny@1 predicts" in worker.models._serving["tiny"].faults[0]
