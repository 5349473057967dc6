"""Which frames labels are asked for: invariants, on features drawn here."""

from __future__ import annotations

import numpy as np
import pytest
from iron_labels import octahedron

from trainer.pool import Candidate, Pool
from trainer.requests import (
    Ground,
    RequestRules,
    allowance,
    choose,
    distances,
    nearest,
    uncertainty_of,
    worth_of,
)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
RULES = RequestRules()
NONE = np.zeros((0, 60))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(2022)


def drawn(random: np.random.Generator, n: int, width: int = 60) -> Array:
    """Features of 8 degrees of freedom, some of which never vary."""
    mixing = np.random.default_rng(7).normal(size=(8, width))
    mixing[:, -5:] = 0.0
    return random.normal(size=(n, 8)) @ mixing


def chosen_of(frames: Array, ground: Ground, most: int, mass: Array | None = None) -> list[int]:
    weights = np.ones(len(frames)) if mass is None else mass
    return choose(ground.points(frames), weights, ground, most).tolist()


def candidates(features: Array) -> list[Candidate]:
    return [
        Candidate(
            structure=octahedron(),
            atom=0,
            name=str(i),
            features=row.astype(np.float32),
            novelty=2.0,
            uncertainty=0.0,
        )
        for i, row in enumerate(features)
    ]


def test_no_request_is_near_a_label_a_pending_request_or_another(
    random: np.random.Generator,
) -> None:
    ground = Ground.of(drawn(random, 80), drawn(random, 30), RULES)
    frames = drawn(random, 500)
    chosen = chosen_of(frames, ground, 500)
    points = ground.points(frames)
    for i, index in enumerate(chosen):
        others = np.vstack([ground.taken, points[chosen[:i]]])
        assert nearest(points[index : index + 1], others)[0] > ground.least
    assert 0 < len(chosen) == len(set(chosen))


def test_what_is_labelled_asked_for_or_comes_twice_is_not_asked_for_again(
    random: np.random.Generator,
) -> None:
    known, asked, new = drawn(random, 80), drawn(random, 20), drawn(random, 10)
    frames = np.vstack([known, asked, new, new])
    chosen = chosen_of(frames, Ground.of(known, asked, RULES), 120)
    assert len(chosen) <= 10
    assert set(chosen) <= set(range(100, 120))


def test_only_what_is_novel_or_uncertain_is_worth_a_label() -> None:
    novelty = np.array([0.9, 1.0, 0.0, 3.0, np.nan, np.inf])
    uncertainty = np.array([0.049, 0.0, 0.05, 0.1, 1.0, 0.0])
    worth = worth_of(novelty, uncertainty, RULES)
    np.testing.assert_array_equal(worth >= 1.0, [False, True, True, True, True, False])


def test_each_choice_brings_all_frames_nearest_to_a_label(random: np.random.Generator) -> None:
    """The greedy choice by its definition, without the short cut."""
    ground = Ground.of(drawn(random, 80), NONE, RULES)
    frames, mass = drawn(random, 60), random.uniform(1.0, 9.0, 60)
    points, taken = ground.points(frames), ground.taken
    for index in chosen_of(frames, ground, 12, mass):
        left = [
            mass @ np.minimum(nearest(points, taken), distances(points, points[i : i + 1])[:, 0])
            if nearest(points[i : i + 1], taken)[0] > ground.least
            else np.inf
            for i in range(60)
        ]
        assert left[index] == pytest.approx(min(left), rel=1e-9)
        taken = np.vstack([taken, points[index]])


def test_the_best_come_first_and_fewer_are_the_beginning_of_more(
    random: np.random.Generator,
) -> None:
    ground, frames = Ground.of(drawn(random, 80), NONE, RULES), drawn(random, 300)
    many = chosen_of(frames, ground, 60)
    assert chosen_of(frames, ground, 10) == many[:10]


def test_what_many_frames_resemble_comes_before_what_one_does(random: np.random.Generator) -> None:
    known, ways = drawn(random, 80), 4.0 * drawn(random, 2)
    ground = Ground.of(known, NONE, RULES)
    assert chosen_of(ways, ground, 1, np.array([1.0, 50.0])) == [1]
    assert chosen_of(ways, ground, 1, np.array([50.0, 1.0])) == [0]


def test_the_choice_does_not_depend_on_the_order_or_scale_of_things(
    random: np.random.Generator,
) -> None:
    known, frames = drawn(random, 80), drawn(random, 300)
    chosen = chosen_of(frames, Ground.of(known, NONE, RULES), 20)
    order = random.permutation(300)
    again = chosen_of(frames[order], Ground.of(known[::-1], NONE, RULES), 20)
    assert order[again].tolist() == chosen
    factor = np.geomspace(1e-2, 1e2, 60)
    scaled = Ground.of(known * factor + 3.0, NONE, RULES)
    assert chosen_of(frames * factor + 3.0, scaled, 20) == chosen


def test_a_single_label_is_enough_to_begin_with(random: np.random.Generator) -> None:
    assert len(chosen_of(drawn(random, 9), Ground.of(drawn(random, 1), NONE, RULES), 3)) == 3


def test_frames_of_one_molecule_are_one_candidate_that_counts_them_all(
    random: np.random.Generator,
) -> None:
    ground = Ground.of(drawn(random, 80), NONE, RULES)
    pool = Pool()
    pool.settle([], ground)
    for _ in range(4):
        pool.add(
            candidates(4.0 * drawn(np.random.default_rng(1), 1) + 1e-3 * drawn(random, 100)), ground
        )
    assert [candidate.mass for candidate in pool.kept] == [400.0]


def test_a_pool_is_bounded_and_loses_count_of_nothing(random: np.random.Generator) -> None:
    ground = Ground.of(drawn(random, 80), NONE, RequestRules(apart=0.0))
    pool = Pool(most=50)
    pool.settle([], ground)
    for _ in range(10):
        pool.add(candidates(drawn(random, 100)), ground)
        assert len(pool.kept) <= 50
    assert sum(candidate.mass for candidate in pool.kept) == 1000.0
    away = distances(pool.points, pool.points) + 1e9 * np.eye(len(pool.kept))
    assert away.min() > pool.apart > 0.0


def test_requests_are_bounded_per_hour() -> None:
    now = 1.7e9
    asked = np.array([now - 7200.0, now - 3599.0, now - 10.0, now + 50.0])
    assert allowance(asked, now, RequestRules(per_hour=10).per_hour) == 7
    assert allowance(asked, now, 2) == 0
    assert allowance(np.zeros(0), now, 5) == 5


def test_uncertainty_is_a_part_of_the_spectrum() -> None:
    mean, std = np.full((2, 10), 2.0, np.float32), np.full((2, 10), 0.1, np.float32)
    np.testing.assert_allclose(uncertainty_of(mean, std), [0.05, 0.05], rtol=1e-6)
