"""Nothing is lost and nothing is doubled, whatever happens.

The plan of a campaign follows from its seed ($CAMPAIGN_SEED, else a fixed one); what happens within
a millisecond does not. ``make campaign`` runs the long form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from campaign import impossible, play, say_missing
from script import FAULTS, POISON, Size, write_script

SEED = int(os.environ.get("CAMPAIGN_SEED", "4"))
SHORT = Size(frames=20_000, faults=100)

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


def test_a_plan_follows_from_its_seed() -> None:
    assert write_script(7, SHORT) == write_script(7, SHORT)
    assert write_script(7, SHORT) != write_script(8, SHORT)


def test_a_plan_holds_every_kind_of_fault_and_poison_in_a_tenth_of_the_runs() -> None:
    script = write_script(SEED, SHORT)
    assert {fault.kind for fault in script.faults} == set(FAULTS)
    assert sum(bool(run.poison) for run in script.runs) == len(script.runs) / 10


def test_a_campaign_of_faults_loses_and_doubles_no_frame(tmp_path: Path) -> None:
    missing = impossible(tmp_path)
    say_missing(missing)
    ledger = play(write_script(SEED, SHORT, without=list(missing)), tmp_path).ledger
    assert ledger.clean, ledger
    assert ledger.frames == SHORT.frames
    assert ledger.poison == 2 * len(POISON)
