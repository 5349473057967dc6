"""Which frames labels are asked for: invariants, on features drawn here."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.requests import (
    RequestRules,
    Space,
    allowance,
    choose,
    nearest,
    typical_distance,
    uncertainty_of,
)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(2022)


def drawn(random: np.random.Generator, n: int, width: int = 60) -> Array:
    """Features of 8 degrees of freedom, some of which never vary."""
    mixing = np.random.default_rng(7).normal(size=(8, width))
    mixing[:, -5:] = 0.0
    return random.normal(size=(n, 8)) @ mixing


def certain(n: int) -> Array:
    return np.zeros(n)


def test_no_request_is_near_a_label_a_pending_request_or_another(
    random: np.random.Generator,
) -> None:
    known, asked, frames = drawn(random, 80), drawn(random, 30), drawn(random, 500)
    chosen = choose(frames, np.full(500, 2.0), certain(500), known=known, asked=asked, most=500)
    space = Space.of(known)
    points, least = space.points(frames), 0.25 * typical_distance(space.points(known))
    for i, index in enumerate(chosen):
        others = np.vstack([space.points(known), space.points(asked), points[chosen[:i]]])
        assert nearest(points[index : index + 1], others)[0] > least
    assert 0 < len(chosen) == len(set(chosen.tolist()))


def test_what_is_labelled_asked_for_or_comes_twice_is_not_asked_for_again(
    random: np.random.Generator,
) -> None:
    known, asked, new = drawn(random, 80), drawn(random, 20), drawn(random, 10)
    frames = np.vstack([known, asked, new, new])
    chosen = choose(frames, np.full(120, 2.0), certain(120), known=known, asked=asked, most=120)
    assert set(chosen.tolist()) <= set(range(100, 110))


def test_only_frames_that_are_novel_or_uncertain_are_asked_for(
    random: np.random.Generator,
) -> None:
    known, frames = drawn(random, 80), drawn(random, 300)
    novelty, uncertainty = random.uniform(0, 2, 300), random.uniform(0, 0.1, 300)
    chosen = choose(frames, novelty, uncertainty, known=known, most=300)
    assert ((novelty[chosen] >= 1.0) | (uncertainty[chosen] >= 0.05)).all()
    assert not len(choose(frames, certain(300), certain(300), known=known, most=300))


def test_the_best_come_first_and_fewer_are_the_beginning_of_more(
    random: np.random.Generator,
) -> None:
    known, frames, novelty = drawn(random, 80), drawn(random, 300), random.uniform(1, 3, 300)
    many = choose(frames, novelty, certain(300), known=known, most=60)
    few = choose(frames, novelty, certain(300), known=known, most=10)
    np.testing.assert_array_equal(few, many[:10])
    space = Space.of(known)
    away = nearest(space.points(frames), space.points(known))
    assert many[0] == np.argmax(away * novelty)


def test_the_choice_does_not_depend_on_the_order_or_scale_of_things(
    random: np.random.Generator,
) -> None:
    known, frames, novelty = drawn(random, 80), drawn(random, 300), random.uniform(1, 3, 300)
    chosen = choose(frames, novelty, certain(300), known=known, most=20)
    order = random.permutation(300)
    again = choose(frames[order], novelty[order], certain(300), known=known[::-1], most=20)
    np.testing.assert_array_equal(order[again], chosen)
    factor = np.geomspace(1e-2, 1e2, 60)
    scaled = choose(
        frames * factor + 3.0, novelty, certain(300), known=known * factor + 3.0, most=20
    )
    np.testing.assert_array_equal(scaled, chosen)


def test_frames_that_are_not_finite_are_never_asked_for(random: np.random.Generator) -> None:
    known, frames, novelty = drawn(random, 80), drawn(random, 20), np.full(20, 2.0)
    frames[3, 5], novelty[4], novelty[5] = np.nan, np.nan, np.inf
    chosen = choose(frames, novelty, certain(20), known=known, most=20)
    assert len(chosen)
    assert not {3, 4, 5} & set(chosen.tolist())


def test_a_single_label_is_enough_to_begin_with(random: np.random.Generator) -> None:
    chosen = choose(drawn(random, 9), np.full(9, 2.0), certain(9), known=drawn(random, 1), most=3)
    assert len(chosen) == 3


def test_frames_of_one_molecule_are_one_request(random: np.random.Generator) -> None:
    known, molecule = drawn(random, 80), drawn(random, 1)
    frames = molecule + 1e-3 * drawn(random, 400)
    assert len(choose(frames, np.full(400, 5.0), certain(400), known=known, most=400)) == 1


def test_requests_are_bounded_per_hour() -> None:
    now = 1.7e9
    asked = np.array([now - 7200.0, now - 3599.0, now - 10.0, now + 50.0])
    assert allowance(asked, now, RequestRules(per_hour=10).per_hour) == 7
    assert allowance(asked, now, 2) == 0
    assert allowance(np.zeros(0), now, 5) == 5


def test_uncertainty_is_a_part_of_the_spectrum() -> None:
    mean, std = np.full((2, 10), 2.0, np.float32), np.full((2, 10), 0.1, np.float32)
    np.testing.assert_allclose(uncertainty_of(mean, std), [0.05, 0.05], rtol=1e-6)
