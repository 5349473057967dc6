"""From two bundles and files of labels to a judgement with its report, and to the champion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.store import Store
from model_store.verification import parity_fault
from trainer.archive import Labels, read_labels
from trainer.gate_page import JSON, write_report
from trainer.held_out import unseen
from trainer.judgement import Judgement, Trial, judgement_of, trial_of
from trainer.verdict import RULES, Rules
from xas.errors import Reject


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement whose report is written; ``sha256`` of its JSON."""

    champion: Bundle
    candidate: Bundle
    judgement: Judgement
    report: Path
    sha256: str

    def promote(self, store: Store, who: str) -> str:
        """Make the candidate champion, if the verdict allows; what was done, in words.

        The champion must still be the one that was judged against: else AliasMoved, and nothing is
        changed. The history names the report and its hash.
        """
        old, new = self.champion.manifest, self.candidate.manifest
        if not self.judgement.verdict.promote:
            return ""
        if old.name != new.name:
            raise Reject(
                f"{new.reference} was judged against {old.reference}, of another name: it cannot "
                f"take its place; train it as {old.name}"
            )
        if fault := parity_fault(self.candidate):
            raise Reject(f"{new.reference}: {fault}; nothing was changed")
        why = f"gate: {self.judgement.verdict.reasons[0]}; report {self.named_report}"
        entry = store.promote(new.name, new.version, who=who, why=why, expect=old.version)
        return f"{new.name}@champion: {old.version} -> {entry.after}"

    @property
    def named_report(self) -> str:
        """Where the report lies, and its hash."""
        return f"{self.report / JSON} sha256 {self.sha256}"


def judge_bundles(
    champion: Bundle,
    candidate: Bundle,
    labels: Path,
    trained_on: Sequence[Path],
    report: Path,
    *,
    newest: int = 0,
    rules: Rules = RULES,
    tell: Callable[[int], None] = lambda _step: None,
) -> Judged:
    """Judge on the labels of a file whose groups neither was trained on, and write the report.

    trained_on  files; among these and ``labels`` must be what both manifests name by SHA-256
    newest      so many labels at the end of the file came last

    Raises Reject where it is not known what one was trained on, or nothing is left to judge by.
    """
    tell(0)
    found = read_labels(labels)
    chosen, how = _held_out((champion, candidate), found, [read_labels(p) for p in trained_on])
    tell(1)
    late = np.arange(len(found)) >= len(found) - newest
    trial = trial_of(champion, candidate, found, chosen, late, charges_of(labels, len(found)))
    tell(2)
    judgement = judgement_of(champion, candidate, found, trial, how, rules)
    tell(3)
    judged = _written(champion, candidate, judgement, trial, report)
    tell(4)
    return judged


def _written(
    champion: Bundle, candidate: Bundle, judgement: Judgement, trial: Trial, report: Path
) -> Judged:
    folder = report.absolute()
    sha256 = write_report(judgement, trial, folder)
    return Judged(champion, candidate, judgement, folder, sha256)


def charges_of(path: Path, n: int) -> NDArray[np.int64] | None:
    """The charge of each structure, (n,), where the file of labels tells it."""
    with np.load(path, allow_pickle=False) as data:
        charge = data["charge"] if "charge" in data.files else None
    if charge is None or charge.shape != (n,) or charge.dtype.kind not in "iu":
        return None
    return np.asarray(charge, dtype=np.int64)


def _held_out(
    bundles: tuple[Bundle, Bundle], labels: Labels, files: list[Labels]
) -> tuple[NDArray[np.bool_], str]:
    """Which labels neither was trained on, and how that is known."""
    known = {one.sha256: one for one in (labels, *files)}
    learned = [_learned(bundle, known) for bundle in bundles]
    chosen = unseen(labels.groups, *(one.groups for one in learned))
    names = ", ".join(dict.fromkeys(one.file for one in learned))
    if not chosen.any():
        raise Reject(
            f"{labels.file}: every {labels.grouped_by} in it is in {names}, which one of them was "
            "trained on: nothing is left to judge by; give labels that neither has seen"
        )
    return chosen, f"no {labels.grouped_by} of these is in {names}, which the manifests name"


def _learned(bundle: Bundle, known: dict[str, Labels]) -> Labels:
    training = bundle.manifest.training
    if training is None:
        raise Reject(
            f"{bundle.reference} does not say what it was trained on, so that it may know these "
            "labels: it cannot be judged; promote it by hand, with a reason"
        )
    if training.data.sha256 not in known:
        raise Reject(
            f"{bundle.reference} was trained on {training.data.file} (sha256 "
            f"{training.data.sha256[:16]}): give that file with --trained-on, so that its labels "
            "are left out"
        )
    return known[training.data.sha256]
