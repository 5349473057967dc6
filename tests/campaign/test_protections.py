"""Each protection matters: a scene in which it is taken away, and what is lost then.

The campaign plays the same faults with every protection in place and loses nothing; the scene of
the epochs, which it does not hit by chance, is played both ways here.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from campaign import Campaign, impossible
from faults import wake
from script import Fault, Run, Script
from theatre import Theatre

from stream.dead_letters import RunLetters
from stream.result_file.survey import survey

PATIENCE_S = 3.0  # of a scene that is to come to nothing
BLOCK = 40

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

Open = Callable[..., Campaign]


@pytest.fixture
def open_scene(tmp_path: Path) -> Iterator[Open]:
    opened: list[Campaign] = []

    def open_scene(protection: str, poison: Mapping[int, str] = {}, runs: int = 1) -> Campaign:
        all_runs = [Run(f"run-{k}", k, 6 * BLOCK, "live", dict(poison)) for k in range(runs)]
        script = Script(0, all_runs, [], n_producers=runs, n_workers=1, spools=[])
        opened.append(Campaign(Theatre(script, tmp_path, protection, understudied=False)))
        return opened[-1]

    yield open_scene
    for campaign in opened:
        campaign.faults.close()
        campaign.stage.close()


def rows(campaign: Campaign, run: str = "run-0") -> int:
    return survey(campaign.stage.out, run).n_frames


def begin(campaign: Campaign, n: int = BLOCK) -> None:
    """Some frames are on disk, and nothing is under way."""
    campaign.stage.allow(n)
    campaign.stage.until(lambda: campaign.stage.on_disk("run-0") >= n)


@pytest.mark.parametrize("protection", ["fsync", "fsync of folders"])
def test_without_fsync_a_power_cut_takes_what_was_acknowledged(
    open_scene: Open, protection: str, tmp_path: Path
) -> None:
    if why := impossible(tmp_path / "probe").get("power cut of the writer"):
        pytest.skip(why)
    campaign = open_scene(protection)
    begin(campaign)
    campaign.faults.bring(Fault("power cut of the writer", 0.0))
    assert rows(campaign) < campaign.stage.on_disk("run-0")


def test_acknowledged_before_they_are_written_frames_die_with_the_writer(open_scene: Open) -> None:
    campaign = open_scene("write before acknowledgement")
    begin(campaign)
    campaign.faults.bring(Fault("kill writer", 0.0))
    assert rows(campaign) < campaign.stage.on_disk("run-0")


def test_acknowledged_before_they_are_kept_letters_die_with_the_writer(open_scene: Open) -> None:
    campaign = open_scene("letters before acknowledgement", {7: "not finite"})
    begin(campaign)
    campaign.faults.bring(Fault("kill writer", 0.0))
    assert RunLetters(campaign.stage.out, "run-0").letters() == []
    assert campaign.stage.broker.dead_letters(0) == []


def test_without_the_check_for_gaps_a_server_that_forgot_leaves_a_hole(open_scene: Open) -> None:
    campaign = open_scene("gaps")
    the_server_forgets_two_blocks(campaign)
    campaign.stage.until(lambda: "\nsealed run-0" in journal(campaign))
    assert not campaign.stage.wait_until_played(PATIENCE_S)
    assert "forgot" not in journal(campaign)
    assert rows(campaign) == BLOCK


def test_without_rewinding_a_producer_pushes_other_frames(open_scene: Open) -> None:
    campaign = open_scene("rewind")
    the_server_forgets_two_blocks(campaign)
    campaign.stage.until(campaign.stage.all_played)
    campaign.close_the_books()
    assert campaign.ledger.wrong > 0


def the_server_forgets_two_blocks(campaign: Campaign) -> None:
    """They were accepted, and no worker has taken them."""
    stage = campaign.stage
    begin(campaign)
    worker = stage.cast.actors["worker-0"]
    worker.signal(signal.SIGSTOP)
    stage.allow(3 * BLOCK)
    stage.until(lambda: stage.n_pushed == 3 * BLOCK)
    campaign.faults.bring(Fault("server empty", 0.0))
    worker.signal(signal.SIGCONT)
    stage.allow(6 * BLOCK)


def journal(campaign: Campaign) -> str:
    return (campaign.stage.folder / "journal-0").read_text()


def test_without_claims_a_dead_worker_keeps_its_frames(open_scene: Open) -> None:
    campaign = open_scene("claims", {7: "killer"})
    campaign.stage.allow(6 * BLOCK)
    campaign.stage.until(lambda: campaign.stage.cast.actors["worker-0"].starts > 1)
    assert not campaign.stage.wait_until_played(PATIENCE_S)
    assert campaign.stage.on_disk("run-0") == 0


def test_without_isolation_one_frame_kills_one_worker_after_another(open_scene: Open) -> None:
    campaign = open_scene("isolation", {7: "killer"})
    campaign.stage.allow(BLOCK)
    campaign.stage.until(lambda: campaign.stage.cast.actors["worker-0"].starts > 2)
    assert campaign.stage.on_disk("run-0") == 0


def test_without_bisection_innocents_pay_for_their_neighbour(open_scene: Open) -> None:
    campaign = open_scene("bisection", {7: "thrower"})
    campaign.stage.allow(6 * BLOCK)
    campaign.stage.until(campaign.stage.all_played)
    campaign.close_the_books()
    assert campaign.ledger.innocents >= BLOCK - 1


def test_a_writer_that_was_replaced_while_it_slept_changes_nothing(open_scene: Open) -> None:
    campaign = open_scene("whole", runs=2)
    a_replaced_writer_goes_on(campaign)
    campaign.stage.until(campaign.stage.all_played)
    campaign.close_the_books()
    assert campaign.ledger.clean, campaign.ledger


def test_without_epochs_a_replaced_writer_takes_frames_from_the_other(open_scene: Open) -> None:
    campaign = open_scene("epochs", runs=2)
    a_replaced_writer_goes_on(campaign)
    campaign.stage.until(lambda: campaign.stage.on_disk("run-1") > 6 * BLOCK)  # finished
    campaign.stage.until(lambda: "\nsealed run-0" in journal(campaign))
    assert not campaign.stage.wait_until_played(PATIENCE_S)
    assert "finished run-0" not in journal(campaign)


def a_replaced_writer_goes_on(campaign: Campaign) -> None:
    """One writer sleeps, another takes over, and sleeps while the first works on."""
    stage = campaign.stage
    stage.allow(BLOCK, 0)
    stage.until(lambda: stage.on_disk("run-0") == BLOCK)
    second = stage.cast.actors["writer-0"]
    second.signal(signal.SIGSTOP)
    first = stage.cast.double("writer-0")
    stage.allow(BLOCK, 1)  # the second has looked at both runs when it has written of this one
    stage.until(lambda: stage.on_disk("run-1") == BLOCK)
    second.signal(signal.SIGSTOP)
    wake(first)
    stage.allow(2 * BLOCK, 0)
    stage.until(lambda: first.poll() is not None or stage.on_disk("run-0") == 2 * BLOCK)
    first.kill()
    second.signal(signal.SIGCONT)
    stage.allow(6 * BLOCK)
