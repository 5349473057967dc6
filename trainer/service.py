"""The trainer: labels into the archive, and a training asked for when one is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from model_store.store import Store
from stream.jobs import Jobs
from trainer.archive_writer import Archived
from trainer.archivist import Archivist
from trainer.learnable import champion_of, take_snapshot
from trainer.orders import order_arguments, order_of
from trainer.policy import Policy, Situation
from trainer.prediction import predict_labels
from trainer.snapshot import Snapshot
from trainer.training_task import TRAINING
from xas.errors import BadLabels

LOOK_S = 5.0


@dataclass(kw_only=True)
class TrainerService:
    """Steps for ``run_until_stopped``: archives labels as they come, and looks after trainings.

    theory     level of theory to learn; None: the only one that the archive holds
    recipe     preset and changes of every training that the policy asks for
    """

    archivist: Archivist
    store: Store
    jobs: Jobs
    name: str
    policy: Policy
    theory: str | None = None
    preset: str = "default"
    changes: dict[str, int | bool] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda _line: None
    clock: Callable[[], float] = time.time
    _next_look: float = 0.0
    _said: str = ""

    def step(self) -> None:
        """Archive what waits, and ask for a training where one is due."""
        self._told(self.archivist.step(block_s=1.0))
        if self.clock() >= self._next_look or self._next_look > self.clock() + LOOK_S:
            self._next_look = self.clock() + LOOK_S
            self.jobs.recover()
            self._look()

    def _told(self, archived: list[Archived]) -> None:
        new = sum(one.outcome in ("new", "conflict") for one in archived)
        if new:
            self.tell(f"{new} new labels, {len(self.archivist.archive)} in the archive")

    def _look(self) -> None:
        """A batch that cannot be learned is said once, and does not end the service."""
        try:
            why, snapshot = self._due()
        except BadLabels as error:
            why, snapshot = "", None
            if str(error) != self._said:
                self.tell(str(error))
                self._said = str(error)
        if snapshot is not None and why:
            order = order_of(self.name, snapshot, self.preset, self.changes, why)
            if self.jobs.enqueue(TRAINING, order.id, **order_arguments(order)):
                self.tell(f"{order.id}: asked for, {why}")

    def _due(self) -> tuple[str, Snapshot | None]:
        archive = self.archivist.archive
        if not len(archive) or self._is_training():
            return "", None
        last, t_last = self._last()
        rows = archive.rows[last:]
        situation = Situation(
            new_labels=len(rows),
            novel_labels=self._novel(last) if self.policy.novel_labels else 0,
            since_s=self.clock() - (t_last or archive.rows[0].t_pushed),
        )
        if len(archive) < self.policy.least_labels or not (why := self.policy.due(situation)):
            return "", None
        return why, take_snapshot(archive, self.store, self.name, self.theory)

    def _is_training(self) -> bool:
        return any(
            job.task == TRAINING and job.state in ("waiting", "running") for job in self.jobs.all()
        )

    def _last(self) -> tuple[int, float]:
        """How many labels there were when a training was last asked for, and when that was."""
        known = {s.id: s for s in self.archivist.archive.snapshots()}
        asked = [
            (max(known[snapshot].numbers()) + 1, job.t_asked or 0.0)
            for job in self.jobs.all()
            if job.task == TRAINING and job.arguments.get("name") == self.name
            if (snapshot := str(job.arguments.get("snapshot"))) in known
        ]
        return max(asked, default=(0, 0.0))

    def _novel(self, last: int) -> int:
        """How many labels since then lie outside what the champion was trained on."""
        champion = champion_of(self.store, self.name)
        archive = self.archivist.archive
        if champion is None or last == len(archive):
            return 0
        taken = take_snapshot(archive, self.store, self.name, self.theory)
        labels = archive.read(taken.id, energy=np.array(champion.manifest.output.energy_ev))
        said = predict_labels(champion, labels.batch, labels.sites, labels.energy)
        late = np.array(taken.numbers()) >= last
        return int((said.novelty[late] > 1.0).sum())
