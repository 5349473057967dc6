"""Asking for labels with the champion that comes with edgestream, an archive and a clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from iron_labels import iron_archive, octahedron

from edgestream.label_asking import ask_of_file
from model_store.store import Store
from trainer.asking import Asker
from trainer.label_request import RequestFolder
from trainer.requests import RequestRules
from xas.errors import BadLabels
from xas.structure import Sites, StructureBatch

MODEL = "fe-k-fast"
RULES = RequestRules(novelty=0.05, per_hour=7)
LENGTHS = np.linspace(1.8, 2.3, 20)
NEW = np.linspace(1.5, 2.9, 40)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    iron_archive(folder, LENGTHS, np.array(Store([]).get(MODEL).manifest.output.energy_ev))
    return folder


class Hand:
    """An asker, and the clock that it looks at."""

    def __init__(self, archive: Path, rules: RequestRules = RULES) -> None:
        self.now = 0.0
        self.asker = Asker(Store([]), MODEL, archive, rules, clock=lambda: self.now)

    def look(self, lengths: np.ndarray, mass: float = 1.0) -> None:
        frames = StructureBatch.concatenate([octahedron(x) for x in lengths])
        sites = Sites(np.arange(len(lengths)), np.zeros(len(lengths), dtype=np.int64))
        self.asker.look(frames, sites, [f"{x:.3f}" for x in lengths], mass)


@pytest.fixture
def hand(archive: Path) -> Hand:
    return Hand(archive)


def test_frames_are_asked_for_once_and_not_too_many_an_hour(hand: Hand) -> None:
    hand.look(np.append(LENGTHS, NEW))
    first = hand.asker.ask()
    assert len(first) == 7
    assert not {r.name for r in first} & {f"{x:.3f}" for x in LENGTHS}
    hand.now = 3599.0
    hand.look(NEW)
    assert hand.asker.ask() == []
    hand.now = 7200.0
    later = hand.asker.ask()
    assert later
    assert not {r.id for r in first} & {r.id for r in later}


def test_what_others_asked_for_or_labelled_meanwhile_is_not_asked_for(
    hand: Hand, archive: Path
) -> None:
    other = Hand(archive, RequestRules(novelty=0.05, per_hour=9))
    for one in (hand, other):
        one.look(np.array([1.5]))
    assert len(hand.asker.ask()) == 1
    assert other.asker.ask() == []
    other.look(np.array([2.9]))
    iron_archive(archive, [2.9], np.array(Store([]).get(MODEL).manifest.output.energy_ev))
    assert other.asker.ask() == []


def test_a_new_champion_judges_again_what_the_old_one_found(archive: Path, tmp_path: Path) -> None:
    models = Store([tmp_path / "models"])
    asker = Asker(models, MODEL, archive, RequestRules(novelty=0.05))
    asker.look(octahedron(2.9), Sites(np.zeros(1, int), np.zeros(1, int)), ["far"], 3.0)
    models.put(models.get(MODEL).folder)
    models.promote(MODEL, 2)
    asker.refresh()
    assert (asker.champion, [c.mass for c in asker.pool.kept]) == (f"{MODEL}@2", [3.0])


def test_an_archive_without_labels_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadLabels, match="edgestream label push"):
        Asker(Store([]), MODEL, tmp_path / "labels", RULES)


def test_a_trajectory_is_asked_about_by_the_champion_of_a_name(
    archive: Path, tmp_path: Path
) -> None:
    text = "".join(
        "7\nProperties=species:S:1:pos:R:3\n"
        + "".join(
            f"{e} {x} {y} {z}\n"
            for e, (x, y, z) in zip(["Fe", *"OOOOOO"], octahedron(length).positions, strict=True)
        )
        for length in (1.5, 2.9)
    )
    (tmp_path / "md.extxyz").write_text(text)
    asked = ask_of_file(
        tmp_path / "md.extxyz", MODEL, archive, RULES, theory=None, models=str(tmp_path)
    )
    assert {request.name for request in asked} == {"md.extxyz frame 0", "md.extxyz frame 1"}
    assert RequestFolder(archive).waiting() == asked
