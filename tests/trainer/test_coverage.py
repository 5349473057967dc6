from __future__ import annotations

import numpy as np
import pytest

from trainer.calibrate import LEVELS, conformal_reach, within_reach
from trainer.coverage import coverage_rows

FOLD = np.repeat(np.arange(4), 250)


def heavy_tailed(seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).standard_t(3, size=(1000, 20)))


def test_intervals_hold_what_they_should_of_errors_with_long_tails() -> None:
    within = within_reach(heavy_tailed(1), FOLD)
    for name, level in LEVELS.items():
        assert within[name].mean() == pytest.approx(level, abs=0.01)


def test_the_reach_of_a_fold_is_not_found_on_it() -> None:
    pull = heavy_tailed(1)
    pull[FOLD == 2] *= 100.0
    assert within_reach(pull, FOLD)["68"][FOLD == 2].mean() < 0.05


def test_long_tails_ask_for_a_longer_reach_than_a_normal_distribution() -> None:
    reach = conformal_reach(heavy_tailed(1))
    assert reach["68"] < reach["95"] < reach["99"]
    assert reach["99"] > 3.0 * reach["68"]


def test_coverage_is_told_by_energy_and_by_novelty() -> None:
    energy = np.linspace(-10.0, 40.0, 20)
    novelty = np.linspace(0.1, 2.0, 1000)
    within = {"68": np.tile(energy < 0.0, (1000, 1))}
    rows = {row.where: row for row in coverage_rows(energy, novelty, within)}
    assert rows["before the edge"].held == {"68": 1.0}
    assert rows["+25 eV on"].held == {"68": 0.0}
    assert sum(row.n_spectra for where, row in rows.items() if "novelty" in where) == 1000
    assert rows["all"].held["68"] == pytest.approx((energy < 0.0).mean(), abs=1e-4)
