"""Trainings from order to promotion, on an archive of labels made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_labels import made_labels

from model_store.store import Store
from stream.sources.label_options import LabelOptions
from stream.sources.npz_labels import read_npz
from trainer.archive_writer import ArchiveWriter
from trainer.label_archive import LabelArchive
from trainer.learnable import take_snapshot
from trainer.orders import TrainingOrder, TrainingOutcome, order_of
from trainer.policy import Policy, Situation
from trainer.verdict import Rules
from trainer.workshop import Workshop
from xas.errors import Reject

pytest.importorskip("torch")
pytestmark = pytest.mark.train

LOOSE = Rules(coverage_points=50.0)  # labels that are learned too well to be calibrated in a minute


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store([tmp_path / "models"], builtin=False)


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., LabelArchive]:
    """Appends made labels; ``scale`` spoils their spectra."""

    def more(n: int, seed: int, scale: float = 1.0) -> LabelArchive:
        arrays = made_labels(n, seed=seed)
        arrays["material"] = np.array([f"made {seed}-{i}" for i in range(n)])
        arrays["mu"] = arrays["mu"] * np.float32(scale)
        np.savez(tmp_path / "made.npz", **arrays)
        labels = list(read_npz(tmp_path / "made.npz", LabelOptions(theory="made")))
        with ArchiveWriter(tmp_path / "labels") as writer:
            writer.append(labels, [1.7e9 + seed] * len(labels))
        return LabelArchive(tmp_path / "labels")

    return more


def trained(
    archive: LabelArchive, store: Store, folder: Path, **changes: int | bool
) -> TrainingOutcome:
    taken = take_snapshot(archive, store, "fe-made")
    order = order_of("fe-made", taken, "fast", {"folds": 2, "epochs": 8, **changes}, "a test")
    workshop = Workshop(archive, store, who="test", rules=LOOSE)
    return workshop.carry_out(order, folder, lambda _progress: None)


def test_a_model_learns_judges_and_takes_its_place(
    archive: Callable[..., LabelArchive], store: Store, tmp_path: Path
) -> None:
    first = trained(archive(200, 1), store, tmp_path / "one", epochs=30)
    assert (first.ending, first.candidate, first.judged_on) == ("promoted", "fe-made@1", 0)
    assert first.n_learned < first.n_labels == first.n_new == 200
    second = trained(archive(200, 2), store, tmp_path / "two", epochs=80)
    assert (second.ending, second.champion) == ("promoted", "fe-made@1"), second.why
    assert (second.n_labels, second.n_new) == (400, 200)
    assert store.aliases("fe-made")["champion"] == 2
    assert "judgement.json" in store.history("fe-made")[0].why
    assert (tmp_path / "two" / "judgement.html").is_file()
    training = store.get("fe-made@2").manifest.training
    assert training is not None
    assert training.data.sha256 == second.learned


def test_a_worse_model_does_not_take_the_place(
    archive: Callable[..., LabelArchive], store: Store, tmp_path: Path
) -> None:
    trained(archive(200, 1), store, tmp_path / "one", epochs=60)
    second = trained(archive(60, 2), store, tmp_path / "two", epochs=1)
    assert second.ending == "not promoted"
    assert store.aliases("fe-made")["champion"] == 1
    assert second.why


def test_a_poisoned_batch_is_refused_before_anything_is_trained(
    archive: Callable[..., LabelArchive], store: Store, tmp_path: Path
) -> None:
    trained(archive(200, 1), store, tmp_path / "one", epochs=20)
    second = trained(archive(100, 2, scale=1000.0), store, tmp_path / "two")
    assert (second.ending, second.candidate) == ("refused", "")
    assert store.versions("fe-made") == [1]
    assert "scale" in {reason.kind for reason in second.suspicion}


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (Situation(new_labels=0, novel_labels=0, since_s=1e9), ""),
        (Situation(new_labels=99, novel_labels=9, since_s=3599.0), ""),
        (Situation(new_labels=100, novel_labels=0, since_s=0.0), "100 new labels"),
        (Situation(new_labels=20, novel_labels=10, since_s=0.0), "10 of 20 new labels are novel"),
        (Situation(new_labels=1, novel_labels=0, since_s=3600.0), "1 new labels in 1.0 hours"),
    ],
)
def test_a_training_is_due_for_a_reason(now: Situation, why: str) -> None:
    policy = Policy(every_labels=100, every_hours=1.0, novel_labels=10)
    assert policy.due(now).startswith(why)
    assert bool(policy.due(now)) == bool(why)


@pytest.mark.parametrize(
    "wrong", [{"name": "../x"}, {"preset": "none"}, {"changes": {"command": 1}}]
)
def test_an_order_that_nobody_can_carry_out_is_refused(wrong: dict[str, object]) -> None:
    order = TrainingOrder(**{"name": "fe-k", "snapshot": "a" * 64, **wrong})  # type: ignore[arg-type]
    with pytest.raises(Reject):
        order.require_sense()
