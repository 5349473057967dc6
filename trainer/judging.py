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
from trainer.judgement import (
    Judgement,
    Trial,
    answers_of,
    judgement_of,
    require_same_edge,
    trial_of,
)
from trainer.kept_answers import KeptAnswers
from trainer.prediction import Prediction, reach_of
from trainer.report import START_LEARNED, UNKNOWN
from trainer.verdict import RULES, Rules
from xas.errors import Reject

Mask = NDArray[np.bool_]


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
    out_of_fold: bool = False,
    rules: Rules = RULES,
    tell: Callable[[int], None] = lambda _step: None,
) -> Judged:
    """Judge on the labels of a file whose groups neither was trained on, and write the report.

    trained_on   files; among these and ``labels`` must be what both manifests name by SHA-256
    newest       so many labels at the end of the file came last
    out_of_fold  judge also on labels that a model has learned, by what the folds of its training
                 said of them before: this compares recipes and data rather than the two networks

    Raises Reject where it is not known what one was trained on, or nothing is left to judge by.
    """
    tell(0)
    found = read_labels(labels)
    require_same_edge(champion, candidate, found)
    known = {one.sha256: one for one in (found, *map(read_labels, trained_on))}
    tell(1)
    said = [
        _Said.by(bundle, found, _learned(bundle, known), out_of_fold)
        for bundle in (champion, candidate)
    ]
    chosen = said[0].honest & said[1].honest
    _require_some(chosen, found, said, out_of_fold)
    late = np.arange(len(found)) >= len(found) - newest
    both = said[0].answers.take(chosen), said[1].answers.take(chosen)
    trial = trial_of(found, chosen, both, late, charges_of(labels, len(found)))
    how = _how_held_out(found, said)
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


@dataclass(frozen=True, slots=True)
class _Said:
    """What one model says of all n labels; NaN where it may know them.

    honest     (n,) bool, of which it had seen nothing when it said so
    recalled   (n,) bool, of which it has learned since: these are answers of the folds
    """

    reference: str
    learned: list[Labels]
    answers: Prediction
    honest: Mask
    recalled: Mask

    @classmethod
    def by(cls, bundle: Bundle, labels: Labels, learned: list[Labels], out_of_fold: bool) -> _Said:
        """Ask the stored model where all is new to it, and else perhaps what its training kept."""
        fresh = unseen(labels.groups, *(one.groups for one in learned))
        answers, recalled = _blank(labels, reach_of(bundle.manifest)), np.zeros_like(fresh)
        _fill(answers, fresh, answers_of(bundle, labels, fresh))
        if out_of_fold and (kept := KeptAnswers.read(bundle)):
            said, where = kept.on(labels, learned[0], bundle)
            recalled[where] = True
            _fill(answers, recalled & ~fresh, said.take(~fresh[where]))
        return cls(bundle.reference, learned, answers, fresh | recalled, recalled & ~fresh)


def _blank(labels: Labels, reach: dict[str, float]) -> Prediction:
    nothing = np.full((2, *labels.intensity.shape), np.nan)
    return Prediction(
        mean=nothing[0], std=nothing[1], novelty=np.full(len(labels), np.nan), reach=reach
    )


def _fill(answers: Prediction, where: Mask, said: Prediction) -> None:
    answers.mean[where], answers.std[where] = said.mean, said.std
    answers.novelty[where] = said.novelty


def _files(said: Sequence[_Said]) -> str:
    return ", ".join(dict.fromkeys(labels.file for one in said for labels in one.learned))


def _require_some(chosen: Mask, labels: Labels, said: Sequence[_Said], out_of_fold: bool) -> None:
    if chosen.any():
        return
    names = _files(said)
    silent = [one.reference for one in said if not one.honest.any()]
    remedy = (
        f"{' and '.join(silent) or 'one of them'} left no answers of its folds (trained before "
        "these were kept?): train it again, or give labels that neither has seen"
        if out_of_fold
        else "give labels that neither has seen, or judge by what the folds of both trainings "
        "said of these: --out-of-fold"
    )
    raise Reject(
        f"{labels.file}: every {labels.grouped_by} in it is in {names}, which one of them was "
        f"trained on: nothing is left to judge by; {remedy}"
    )


def _how_held_out(labels: Labels, said: Sequence[_Said]) -> str:
    names = _files(said)
    recalled = [
        f"{int(one.recalled.sum())} by {one.reference}" for one in said if one.recalled.any()
    ]
    if not recalled:
        return f"no {labels.grouped_by} of these is in {names}, which the manifests name"
    return (
        f"out of fold: of labels learned since ({', '.join(recalled)}) counts what networks of the "
        f"same training said that had not seen their {labels.grouped_by}; else, no "
        f"{labels.grouped_by} is in {names}, which the manifests name"
    )


def _learned(bundle: Bundle, known: dict[str, Labels]) -> list[Labels]:
    """What a model has learned from: its own labels, then those of what it was started from."""
    return [_of_hash(sha256, bundle, known) for sha256 in _hashes(bundle)]


def _hashes(bundle: Bundle) -> list[str]:
    training = bundle.manifest.training
    before = [] if training is None else training.recipe.get(START_LEARNED, [])
    if training is None or UNKNOWN in before or ("start" in training.recipe and not before):
        raise Reject(
            f"{bundle.reference} does not say what it, or what it was started from, was trained "
            "on, so that it may know these labels: it cannot be judged; promote it by hand, with "
            "a reason"
        )
    return [training.data.sha256, *before]


def _of_hash(sha256: str, bundle: Bundle, known: dict[str, Labels]) -> Labels:
    if sha256 not in known:
        training = bundle.manifest.training
        own = training is not None and sha256 == training.data.sha256
        file = training.data.file if training is not None and own else "what it was started from"
        raise Reject(
            f"{bundle.reference} was trained on {file} (sha256 {sha256[:16]}): give that file with "
            "--trained-on, so that its labels are left out"
        )
    return known[sha256]
