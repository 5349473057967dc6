"""A training that was asked for, and what came of it; plain data, kept in the training's folder."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from model_store.manifest import NAME
from trainer.findings import Reason
from trainer.recipe import PRESETS
from trainer.snapshot import Snapshot
from xas.errors import Reject

ORDER, OUTCOME = "order.json", "outcome.json"
Ending = Literal["promoted", "not promoted", "refused"]


class TrainingOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train a model on the labels of a snapshot.

    snapshot  id in the archive; some of its labels are reserved for the gate
    changes   settings of the preset that are to be others
    why       what asked for it
    """

    name: str
    snapshot: str
    preset: str = "default"
    changes: dict[str, int | bool] = {}
    why: str = ""

    def require_sense(self) -> None:
        """Reject for what nobody could carry out."""
        if not NAME.fullmatch(self.name):
            raise Reject(f"{self.name!r} is no name of a model")
        if self.preset not in PRESETS:
            raise Reject(f"no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        if unknown := self.changes.keys() - {"members", "folds", "epochs", "seed", "quick"}:
            raise Reject(f"{', '.join(sorted(unknown))}: no such setting of a training")

    @property
    def id(self) -> str:
        """Names the training: the same model on the same labels in the same way is one training."""
        settings = "".join(f"-{key}{value:d}" for key, value in sorted(self.changes.items()))
        preset = "" if self.preset == "default" else f"-{self.preset}"
        return f"train-{self.name}-{self.snapshot[:12]}{preset}{settings}"


class TrainingOutcome(Struct, frozen=True, kw_only=True):
    """What came of an order.

    refused        the labels were: why, and no training took place
    learned        id of the snapshot that was learned: without what was reserved or set aside
    judged_on      labels that the gate judged by; 0: there was no champion to compare with
    report         folder of the judgement
    """

    ending: Ending
    why: tuple[str, ...]
    candidate: str = ""
    champion: str = ""
    snapshot: str = ""
    n_labels: int = 0
    n_new: int = 0
    n_set_aside: int = 0
    learned: str = ""
    n_learned: int = 0
    judged_on: int = 0
    report: str = ""
    duration_s: float = 0.0
    suspicion: tuple[Reason, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Built-in types only."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def order_of(
    name: str, snapshot: Snapshot, preset: str, changes: dict[str, int | bool], why: str
) -> TrainingOrder:
    """An order that makes sense. Reject."""
    order = TrainingOrder(name=name, snapshot=snapshot.id, preset=preset, changes=changes, why=why)
    order.require_sense()
    return order


def order_arguments(order: TrainingOrder) -> dict[str, Any]:
    """As a job carries it."""
    return {name: getattr(order, name) for name in order.__struct_fields__}
