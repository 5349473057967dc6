"""A campaign: a script is played, and the ledger kept."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults import Faults
from ledger import Ledger
from script import Fault, Script
from shim import Shim
from small_disk import can_mount
from theatre import Theatre

from edgestream.models import open_store
from stream.result_file.verify import verify
from stream.service import say
from workers.predictor import Predictor

UNDER_WAY_S = 0.3  # what was pushed is in somebody's hands
START_S = 120.0
AFTER_S = 0.6  # without a frame, the next fault comes anyway
PATIENT_S = 2.0  # the same where time is no object
STALLED_S = 60.0  # without a frame, or a finished run, nothing more will come

Told = Callable[[int, int], None]  # faults brought, frames on disk


def _nobody(faults: int, frames: int) -> None:
    del faults, frames


@dataclass
class Campaign:
    """Brings the faults, waits for the end, keeps the ledger."""

    stage: Theatre
    told: Told = _nobody
    stalled_s: float = STALLED_S
    after_s: float = AFTER_S
    ledger: Ledger = field(default_factory=Ledger)
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.script, self.faults = self.stage.script, Faults(self.stage)

    def play(self) -> Ledger:
        """All of it; the ledger at the end."""
        self.bring_all()
        self.stage.allow_part(1.0)
        if not self.stage.wait_until_played(self.stalled_s):
            self.ledger.notes.append(f"stalled; {dict(self.stage.cast.exits)}")
        self.faults.settle()
        self.close_the_books()
        return self.ledger

    def bring_all(self) -> None:
        """Each when the service has made its progress, or makes none."""
        parts = len(self.script.faults) + 1
        self.stage.allow_part(0.5 / parts)
        self._until_on_disk(0.4 / parts, START_S)
        for k, fault in enumerate(self.script.faults):
            self._until_on_disk(k / parts, self.after_s)
            self.stage.allow_part((k + 1) / parts)
            time.sleep(UNDER_WAY_S * (7 * fault.draw % 1))
            self.history.append(f"{time.monotonic():.2f} {self.stage.on_disk()} {fault.kind}")
            self.faults.bring(fault)
            self._look_into_a_file(fault)
            self.told(k + 1, self.stage.on_disk())

    def _until_on_disk(self, part: float, patience_s: float) -> None:
        """The service has overcome what was before; or nothing goes on, and worse may come."""
        goal, end, before = part * self.script.n_frames, time.monotonic() + patience_s, -1
        while (now := self.stage.on_disk()) < goal and time.monotonic() < end:
            self.stage.require_life()
            if now > before:
                before, end = now, time.monotonic() + patience_s
            time.sleep(0.02)

    def _look_into_a_file(self, fault: Fault) -> None:
        """Any file, at any moment, verifies."""
        run = random.Random(fault.draw).choice(self.script.runs)
        path = self.stage.out / f"{run.name}.h5"
        if path.exists() and (found := verify(path)).faults:
            self.ledger.unreadable += 1
            self.ledger.notes.append(f"{path.name}, while it was written: {found.faults[0]}")

    def close_the_books(self) -> None:
        forgetful = bool(self.faults.forgot_at)
        self._look_at_journals()
        self.ledger.crashed = self.stage.cast.crashed
        self.ledger.book_letters(self.script, self.stage.out, forgetful=forgetful)
        predictor = Predictor(open_store(self.stage.models).get("tiny"))
        self.ledger.book(self.script, self.stage.out, predictor)

    def _look_at_journals(self) -> None:
        """A producer may be sent back only after a server lost data, one with a spool never."""
        for k in range(self.script.n_producers):
            for line in (self.stage.folder / f"journal-{k}").read_text().splitlines():
                words = line.split()
                if words[0] == "forgot":
                    self.faults.brought["(a producer sent back)"] += 1
                    lost = any(at < float(words[-1]) for at in self.faults.forgot_at)
                    if k in self.script.spools or not lost:
                        self.ledger.unexplained += 1
                        self.ledger.notes.append(line)

    def table(self) -> str:
        """Seed, faults by kind, and the ledger."""
        brought = sorted(self.faults.brought.items())
        lines = [f"seed {self.script.seed}: {len(self.script.faults)} faults"]
        lines += [f"  {kind:32} {n:5}" for kind, n in brought]
        lines += [f"{name:34} {n:5}" for name, n in self.ledger.counts().items()]
        exits = dict(self.stage.cast.exits)
        return "\n".join([*lines, f"  ended by themselves: {exits}", *self.ledger.notes[:10]])


def play(
    script: Script, folder: Path, *, protection: str = "whole", told: Told = _nobody,
    stalled_s: float = STALLED_S, after_s: float = AFTER_S,
) -> Campaign:  # fmt: skip
    """Play a script in a folder and print its table."""
    stage = Theatre(script, folder, protection)
    campaign = Campaign(stage, told, stalled_s, after_s)
    try:
        campaign.play()
    finally:
        campaign.faults.close()
        stage.close(keep=not campaign.ledger.clean)
        (folder / "history").write_text("\n".join(campaign.history))
    say(campaign.table())
    return campaign


def impossible(folder: Path) -> dict[str, str]:
    """Kinds of faults that cannot be made here, and why."""
    missing = {}
    if not can_mount(folder):
        why = "this user may not mount a tmpfs"
        missing |= {f"full disk of {who}": why for who in ("the writer", "the server", "a spool")}
    if not Shim(folder, "probe").works:
        why = "no C compiler for the shim"
        kinds = [
            f"clock of {who}" for who in ("the server", "the writer", "a worker", "a producer")
        ]
        missing |= dict.fromkeys((*kinds, "slow disk", "power cut of the writer"), why)
    return missing


def say_missing(missing: dict[str, str]) -> None:
    for kind, why in missing.items():
        say(f"not covered: {kind}: {why}")
