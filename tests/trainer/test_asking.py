"""Asking for labels with a real champion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from iron_labels import octahedron
from made_labels import made_labels

from edgestream.label_asking import ask_of_trajectory
from model_store.bundle import Bundle
from model_store.store import Store
from stream.labels import Label
from stream.sources.label_options import LabelOptions
from stream.sources.npz_labels import read_npz
from trainer.archive import Labels
from trainer.archive_writer import ArchiveWriter
from trainer.asking import ask
from trainer.label_request import LabelRequest, RequestFolder
from trainer.requests import RequestRules
from trainer.training_data import training_data
from xas.structure import Sites, StructureBatch

RULES = RequestRules(novelty=0.05, per_hour=7)


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    np.savez(tmp_path / "made.npz", **made_labels(40))
    found = read_npz(tmp_path / "made.npz", LabelOptions(theory="made"))
    return training_data([x for x in found if isinstance(x, Label)], file="made", sha256="0" * 64)


@pytest.fixture
def champion(labels: Labels, tmp_path: Path) -> Bundle:
    pytest.importorskip("torch")
    from trainer.train import train

    return train("fe-made", labels, Store([tmp_path / "models"], builtin=False), quick=True)


@pytest.fixture
def asking(
    labels: Labels, champion: Bundle, tmp_path: Path
) -> Callable[[float], list[LabelRequest]]:
    """Asks at a time, of the same frames: some are those of labels, most are new."""
    new = [octahedron(x) for x in np.linspace(1.5, 2.9, 60)]
    frames = StructureBatch.concatenate([*labels.batch[:10], *new])
    sites = Sites(np.arange(70), np.zeros(70, dtype=np.int64))

    def at(now: float) -> list[LabelRequest]:
        return ask(
            frames,
            sites,
            [f"frame {i}" for i in range(70)],
            champion=champion,
            labels=labels,
            requests=RequestFolder(tmp_path / "labels"),
            rules=RULES,
            clock=lambda: now,
        )

    return at


@pytest.mark.train
def test_frames_are_asked_for_once_and_not_too_many_an_hour(
    asking: Callable[[float], list[LabelRequest]],
) -> None:
    first = asking(0.0)
    assert len(first) == 7
    assert not {f"frame {i}" for i in range(10)} & {request.name for request in first}
    assert asking(3599.0) == []
    later = asking(7200.0)
    assert later
    assert not {r.id for r in first} & {r.id for r in later}


@pytest.mark.train
def test_a_trajectory_is_asked_about_by_the_champion_of_a_name(
    champion: Bundle, tmp_path: Path
) -> None:
    assert champion.manifest.name == "fe-made"
    found = [
        x
        for x in read_npz(tmp_path / "made.npz", LabelOptions(theory="made"))
        if isinstance(x, Label)
    ]
    with ArchiveWriter(tmp_path / "labels") as writer:
        writer.append(found, [0.0] * len(found))
    frames = [octahedron(x).positions for x in (1.5, 2.9)]
    lines = [
        "7\nProperties=species:S:1:pos:R:3\n"
        + "".join(
            f"{e} {x} {y} {z}\n" for e, (x, y, z) in zip(["Fe", *"OOOOOO"], atoms, strict=True)
        )
        for atoms in frames
    ]
    (tmp_path / "md.extxyz").write_text("".join(lines))
    asked = ask_of_trajectory(
        tmp_path / "md.extxyz",
        "fe-made",
        tmp_path / "labels",
        RULES,
        theory=None,
        models=str(tmp_path / "models"),
    )
    assert {request.name for request in asked} == {"md.extxyz frame 0", "md.extxyz frame 1"}
    assert RequestFolder(tmp_path / "labels").waiting() == asked
