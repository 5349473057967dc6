"""What ``edgestream models judge`` and ``suspect`` print."""

from __future__ import annotations

import sys
from pathlib import Path

from edgestream.tables import print_table
from trainer.findings import Suspicion
from trainer.gate_page import PAGE, change_row
from trainer.judgement import Judgement


def print_judged(judgement: Judgement, report: Path, moved: str) -> None:
    """The verdict and why, then the tables behind it."""
    verdict = judgement.verdict
    word = "promote" if verdict.promote else "refuse"
    names = f"{judgement.candidate.reference} against {judgement.champion.reference}"
    _say(f"{names}: {word}", *(f"  {reason}" for reason in verdict.reasons))
    if verdict.changes:
        print_table(
            ["labels", "n", "groups", "champion %", "candidate %", "change %", "from", "to", ""],
            [change_row(c) for c in (*verdict.changes, *verdict.subgroups)],
        )
    _say(
        f"held out     {judgement.held_out} of {judgement.n_labels}: {judgement.how_held_out}",
        f"report       {report / PAGE}",
        *([f"done         {moved}"] if moved else []),
    )


def print_suspicion(found: Suspicion, labels: str) -> None:
    """The decision and why."""
    _say(f"{labels}: {found.decision} ({found.n_labels} labels)")
    _say(*(f"  {reason.kind}: {reason.words}" for reason in found.reasons))
    if found.set_aside:
        some = ", ".join(map(str, found.set_aside[:20]))
        more = f" and {len(found.set_aside) - 20} more" if len(found.set_aside) > 20 else ""
        _say(f"  set aside: labels {some}{more}")


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
