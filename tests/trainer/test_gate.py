"""The gate's decision, on predictions whose quality is known because it was made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.gate import ALL, NEWEST, judge
from trainer.held_out import reserved, unseen
from trainer.prediction import Prediction, normal_reach
from trainer.resampling import resample
from trainer.verdict import Rules, Verdict

N, N_ENERGY = 300, 30
RULES = Rules(draws=300)


class Case:
    """Labels in groups of two, with twelve subgroups; both models have some errors in common."""

    def __init__(self, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.target = 1.0 + 0.2 * self.random.random((N, N_ENERGY))
        self.groups = np.array([f"group {i // 2}" for i in range(N)])
        self.newest = np.arange(N) >= 0.8 * N
        self.subgroups = {f"part {k}": self.random.random(N) < 0.2 for k in range(12)}
        self.size = 0.03 * np.exp(0.4 * self.random.normal(size=N))[:, None]
        self.common = self.random.normal(size=(N, N_ENERGY))

    def said(self, size: Any = 1.0, bars: float = 1.0) -> Prediction:
        sigma = self.size * np.broadcast_to(size, N)[:, None]
        noise = 0.7 * self.common + 0.714 * self.random.normal(size=(N, N_ENERGY))
        return Prediction(
            mean=self.target + sigma * noise,
            std=np.repeat(bars * sigma, N_ENERGY, axis=1),
            novelty=np.ones(N),
            reach=normal_reach(),
        )

    def judged(self, size: Any, bars: float = 1.0, weights: Any = None) -> Verdict:
        return judge(
            self.target,
            self.said(),
            self.said(size, bars),
            self.groups,
            self.subgroups,
            self.newest,
            RULES,
            weights,
        )


def test_a_better_candidate_is_promoted_with_figures() -> None:
    verdict = Case().judged(0.9)
    assert verdict.promote
    assert {c.name: c.finding for c in verdict.changes}[ALL] == "better"
    assert verdict.changes[0].low < -10.0 + 3.0 < verdict.changes[0].high + 6.0
    assert verdict.reasons[0].startswith(f"better on {ALL} (300 in 150 groups): errors ")


def test_an_equal_candidate_is_promoted_as_seldom_as_the_confidence_says() -> None:
    promoted = [Case(seed).judged(1.0).promote for seed in range(40)]
    assert sum(promoted) <= 5  # 5 % of 40 are 2


def test_the_same_input_gives_the_same_verdict() -> None:
    assert Case().judged(0.95) == Case().judged(0.95)


def test_a_candidate_that_loses_one_subgroup_is_refused_and_the_subgroup_named() -> None:
    case = Case()
    size = np.full(N, 0.85)
    size[case.subgroups["part 3"]] = 1.15
    verdict = case.judged(size)
    assert verdict.changes[0].finding == "better"
    assert not verdict.promote
    assert verdict.reasons[0].startswith("worse on part 3 (")


def test_a_candidate_that_fails_grossly_on_a_few_labels_is_refused() -> None:
    case = Case()
    size = np.full(N, 0.9)
    size[::40] = 40.0
    verdict = case.judged(size)
    assert [r for r in verdict.reasons if "labels that either model gets badly wrong" in r]


def test_a_candidate_that_is_better_on_the_newest_labels_alone_is_promoted() -> None:
    case = Case()
    verdict = case.judged(np.where(case.newest, 0.8, 1.0))
    assert {c.name: c.finding for c in verdict.changes}[NEWEST] == "better"
    assert verdict.promote


@pytest.mark.parametrize("bars", [0.0, 0.8, 1.3])
def test_error_bars_that_do_not_hold_what_they_say_are_refused(bars: float) -> None:
    verdict = Case().judged(0.8, bars)
    assert not verdict.promote
    assert "intervals hold" in verdict.reasons[0]


def test_bars_that_hold_too_much_pass_where_they_are_narrower_than_the_champion_s() -> None:
    verdict = Case().judged(0.7, bars=1.3)
    covered = verdict.coverage[0]
    assert covered.low > 68.27 + RULES.coverage_points
    assert covered.width == pytest.approx(0.7 * 1.3)
    assert verdict.promote
    assert "they are 0.91, 0.91, 0.91 as wide as the champion's" in verdict.reasons[-1]


def test_bars_that_hold_too_little_are_refused_however_narrow_the_champion_s_were() -> None:
    verdict = Case().judged(0.7, bars=0.7)
    assert not verdict.promote
    assert "wider" not in verdict.reasons[0]


def test_labels_count_by_their_weight() -> None:
    """Worse on a third of the labels, which are hardly trusted."""
    doubted = np.arange(N) % 3 == 0
    size = np.where(doubted, 1.6, 0.85)
    assert not Case().judged(size).promote
    weights = np.where(doubted, 1e-6, 2.0)
    case = Case()
    case.subgroups = {}
    verdict = case.judged(size, weights=weights)
    assert verdict.changes[0].finding == "better"
    assert verdict.changes[0].percent == pytest.approx(-15.0, abs=4.0)


def test_predictions_that_are_not_finite_are_refused() -> None:
    case = Case()
    bad = case.said(0.5)
    bad.mean[7, 3] = np.nan
    verdict = judge(case.target, case.said(), bad, case.groups, {}, None, RULES)
    assert verdict.reasons == ("the candidate gives 1 spectra that are not finite",)


def test_too_few_groups_are_no_ground_for_a_decision() -> None:
    case = Case()
    groups = np.array(["a", "b"] * (N // 2))
    verdict = judge(case.target, case.said(), case.said(0.1), groups, {}, None, RULES)
    assert not verdict.promote
    assert "2 groups of labels were held out from both: at least 20" in verdict.reasons[0]


def test_small_subgroups_are_shown_but_decide_nothing() -> None:
    case = Case()
    few = np.arange(N) < 6
    size = np.where(few, 1.3, 0.8)
    case.subgroups = {"three groups": few}
    verdict = case.judged(size)
    assert [c.finding for c in verdict.subgroups if c.name == "three groups"] == ["too few"]
    assert verdict.promote


def test_groups_are_drawn_together() -> None:
    """Each label ten times over says no more than once: the interval must not shrink."""
    values = np.random.default_rng(3).normal(size=(60, 1))
    once = resample(values, np.ones((60, 1)), np.arange(60).astype(str), 500, 1)
    ten = np.repeat(values, 10, axis=0)
    groups = np.repeat(np.arange(60), 10).astype(str)
    often = resample(ten, np.ones((600, 1)), groups, 500, 1)
    assert often.standard_error == pytest.approx(once.standard_error)
    assert often.joint_reach(0.95) == pytest.approx(once.joint_reach(0.95))


def test_a_reserved_group_is_reserved_for_ever() -> None:
    groups = np.array([f"C{i}" for i in range(2000)])
    held = reserved(groups)
    assert 0.07 < held.mean() < 0.13
    assert (reserved(groups[::-1])[::-1] == held).all()
    assert (reserved(groups[:7]) == held[:7]).all()


def test_what_either_has_learned_from_judges_neither() -> None:
    groups = np.array(["a", "b", "c", "b"])
    assert unseen(groups, ["a"], ["b", "x"]).tolist() == [False, False, True, False]
