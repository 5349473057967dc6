"""One training from order to promotion: suspicion, fit, gate, report, and the champion's place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec.structs import replace as change
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.store import Store
from trainer.archive import Labels
from trainer.findings import Suspicion
from trainer.gate_page import write_report
from trainer.held_out import reserved
from trainer.judgement import answers_of, judgement_of, require_same_edge, trial_of
from trainer.judging import Judged
from trainer.label_archive import LabelArchive
from trainer.learnable import champion_of
from trainer.orders import TrainingOrder, TrainingOutcome
from trainer.progress import Progress
from trainer.snapshot import Snapshot
from trainer.suspicion import suspect
from trainer.train import train
from trainer.verdict import RULES, Rules
from xas.errors import AliasMoved, BadLabels
from xas.structure import Sites

Mask = NDArray[np.bool_]
CHECKPOINTS = "checkpoints"
HOW_HELD_OUT = (
    "their {groups} are reserved by hash: no training of this archive takes them; a model that was "
    "trained elsewhere may know them, which can only speak for the champion"
)


@dataclass(frozen=True, slots=True)
class _Material:
    """The labels of an order: all of them, which are new to the champion, which may be learned."""

    taken: Snapshot
    labels: Labels
    new: Mask
    learn: Mask
    judge: Mask
    suspicion: Suspicion | None


class Workshop:
    """Carries out orders on one archive, for one store; its history keeps ``who`` it was."""

    def __init__(
        self, archive: LabelArchive, store: Store, *, who: str, rules: Rules = RULES
    ) -> None:
        self.archive, self.store, self.who, self.rules = archive, store, who, rules

    def carry_out(
        self, order: TrainingOrder, folder: Path, tell: Callable[[Progress], None]
    ) -> TrainingOutcome:
        """Train, judge, and promote what is better; the report goes into ``folder``.

        Nothing is trained on labels that are suspicious as a batch. The champion stays unless the
        gate lets the candidate pass, and unless somebody else moved it meanwhile. Raises BadLabels
        where there is nothing to learn, or too little to judge by.
        """
        order.require_sense()
        begun = time.monotonic()
        champion = champion_of(self.store, order.name)
        material = self._material(order, champion)
        found = material.suspicion
        outcome = TrainingOutcome(
            ending="refused",
            why=() if found is None else tuple(reason.words for reason in found.reasons),
            champion="" if champion is None else champion.reference,
            snapshot=material.taken.id,
            n_labels=len(material.labels),
            n_new=int(material.new.sum()),
            suspicion=() if found is None else found.reasons,
        )
        if found is not None and found.decision != "accept":
            return outcome
        learned = self._keep(material, material.learn)
        candidate = self._trained(order, learned, champion, folder, tell)
        outcome = change(
            outcome,
            candidate=candidate.reference,
            learned=learned.id,
            n_learned=learned.n_labels,
            n_set_aside=0 if found is None else len(found.set_aside),
            duration_s=round(time.monotonic() - begun, 1),
        )
        if champion is None:
            why = (f"{candidate.reference} is the first of its name: nothing to compare it with",)
            return change(outcome, ending="promoted", why=why)
        return self._judged(champion, candidate, material, folder, outcome)

    # -- labels -----------------------------------------------------------------------------------

    def _material(self, order: TrainingOrder, champion: Bundle | None) -> _Material:
        taken = self.archive.find_snapshot(order.snapshot)
        grid = None if champion is None else np.array(champion.manifest.output.energy_ev)
        labels = self.archive.read(taken.id, energy=grid)
        new = self._new(taken, champion)
        aside = np.zeros(len(labels), dtype=np.bool_)
        found = None
        if champion is not None and new.any():
            old = None if new.all() else part_of(labels, ~new)
            found = suspect(part_of(labels, new), champion, old)
            aside[np.flatnonzero(new)[list(found.set_aside)]] = True
        judge = reserved(labels.groups)
        return _Material(taken, labels, new, ~aside & ~judge, ~aside & judge, found)

    def _new(self, taken: Snapshot, champion: Bundle | None) -> Mask:
        """Which labels the champion cannot have learned; all, where it was trained elsewhere."""
        training = None if champion is None else champion.manifest.training
        known: set[int] = set()
        for snapshot in self.archive.snapshots():
            if training is not None and snapshot.id == training.data.sha256:
                known = set(range(max(snapshot.numbers()) + 1))  # what was there was looked at
        return np.array([number not in known for number in taken.numbers()], dtype=np.bool_)

    def _keep(self, material: _Material, chosen: Mask) -> Snapshot:
        """The snapshot of some of the labels."""
        rows = self.archive.rows_of(material.taken)
        wanted = {row.sha256 for row, good in zip(rows, chosen, strict=True) if good}
        taken = material.taken
        if not wanted:
            raise BadLabels(f"{self.archive.folder}: no label of {taken.id[:12]} may be learned")
        return self.archive.snapshot(
            element=taken.element,
            edge=taken.edge,
            theory=taken.theory,
            without=[row.sha256 for row in self.archive.rows if row.sha256 not in wanted],
        )

    # -- models -----------------------------------------------------------------------------------

    def _trained(
        self,
        order: TrainingOrder,
        learned: Snapshot,
        champion: Bundle | None,
        folder: Path,
        tell: Callable[[Progress], None],
    ) -> Bundle:
        grid = None if champion is None else np.array(champion.manifest.output.energy_ev)
        labels = self.archive.read(learned.id, energy=grid)
        changes = order.changes
        return train(
            order.name,
            labels,
            self.store,
            preset=order.preset,
            edge=learned.edge or "K",
            members=changes.get("members"),
            folds=changes.get("folds"),
            epochs=changes.get("epochs"),
            seed=changes.get("seed"),
            quick=bool(order.changes.get("quick", False)),
            command=f"edgestream jobs train {order.name} (snapshot {learned.id[:12]})",
            progress=tell,
            checkpoints=folder / CHECKPOINTS,
        )

    def _judged(
        self,
        champion: Bundle,
        candidate: Bundle,
        material: _Material,
        folder: Path,
        outcome: TrainingOutcome,
    ) -> TrainingOutcome:
        labels = material.labels
        require_same_edge(champion, candidate, labels)
        said = [answers_of(model, labels, material.judge) for model in (champion, candidate)]
        trial = trial_of(labels, material.judge, (said[0], said[1]), material.new)
        how = HOW_HELD_OUT.format(groups=f"{labels.grouped_by}s")
        judgement = judgement_of(champion, candidate, labels, trial, how, self.rules)
        judged = Judged(
            champion, candidate, judgement, folder, write_report(judgement, trial, folder)
        )
        why = judgement.verdict.reasons
        try:
            moved = judged.promote(self.store, self.who)
        except AliasMoved as error:
            moved, why = "", (str(error),)
        return change(
            outcome,
            ending="promoted" if moved else "not promoted",
            why=why,
            judged_on=len(trial.target),
            report=str(folder),
        )


def part_of(labels: Labels, chosen: Mask) -> Labels:
    """Some of the labels, in their order."""
    where = np.flatnonzero(chosen)
    return replace(
        labels,
        sites=Sites(labels.sites.structure[where], labels.sites.atom[where]),
        intensity=labels.intensity[where],
        names=labels.names[where],
        groups=labels.groups[where],
        weights=labels.weights[where],
    )
