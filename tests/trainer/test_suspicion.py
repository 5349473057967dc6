"""Batches of labels that must not be learned from, and batches that must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgestream.models import open_store
from model_store.bundle import Bundle
from trainer.archive import Labels, read_labels
from trainer.findings import Suspicion
from trainer.prediction import Prediction, normal_reach
from trainer.suspicion import examine, suspect
from xas.structure import Sites, StructureBatch

Array = np.ndarray[Any, np.dtype[np.float64]]
ENERGY = np.linspace(7097.0, 7172.0, 226)


def spectra(edges: Array) -> Array:
    """An edge with a white line behind it, wherever it lies."""
    edge = 0.5 + np.arctan((ENERGY - edges[:, None]) / 1.5) / np.pi
    return edge + 0.5 * np.exp(-0.5 * ((ENERGY - edges[:, None] - 8.0) / 3.0) ** 2)


class Made:
    """n honest labels, and what a calibrated champion says of them."""

    def __init__(
        self, n: int = 40, seed: int = 1, novelty: float = 0.4, error: float = 1.0
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.target = spectra(self.random.uniform(7115.0, 7121.0, n))
        noise = self.random.normal(size=(n, len(ENERGY)))
        self.said = Prediction(
            mean=self.target + 0.02 * error * noise,
            std=np.full(self.target.shape, 0.02),
            novelty=np.full(n, novelty),
            reach=normal_reach(),
        )

    def examined(self, target: Array | None = None) -> Suspicion:
        return examine(ENERGY, self.target if target is None else target, self.said)


def test_honest_labels_are_accepted() -> None:
    assert all(Made(n, seed).examined().decision == "accept" for n in (1, 5, 40) for seed in (1, 2))


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("scale", lambda made: 1000.0 * made.target),
        ("scale", lambda made: made.target / 1.9),
        ("shift", lambda made: np.array([np.interp(ENERGY - 5, ENERGY, t) for t in made.target])),
        ("shuffled", lambda made: made.random.permutation(made.target)),
        ("theory", lambda made: made.target + 0.2 * np.sin(ENERGY / 3.0)),
    ],
)
def test_a_spoiled_batch_is_refused_with_the_reason(kind: str, spoil: Any) -> None:
    made = Made()
    found = made.examined(spoil(made))
    assert (found.decision, found.reasons[0].kind) == ("refuse", kind)


def test_a_few_odd_labels_are_set_aside_and_the_others_taken() -> None:
    made = Made()
    made.target[[3, 17]] = made.target[[17, 3]][:, ::-1]
    found = made.examined()
    assert (found.decision, found.set_aside) == ("accept", (3, 17))
    assert found.reasons[0].kind == "odd"


def test_large_errors_far_from_the_training_data_are_looked_at_not_refused() -> None:
    assert Made(error=3.0).examined().decision == "refuse"
    assert Made(error=3.0, novelty=2.0).examined().decision == "quarantine"


def test_shuffled_spectra_of_a_new_chemistry_are_refused_all_the_same() -> None:
    made = Made(novelty=2.0)
    assert made.examined(made.random.permutation(made.target)).decision == "refuse"


def test_shuffled_spectra_within_wide_error_bars_are_looked_at() -> None:
    made = Made()
    made.said.std[:] = 0.2
    assert made.examined().decision == "accept"
    assert made.examined(made.random.permutation(made.target)).decision == "quarantine"


def test_frames_of_one_molecule_are_accepted_though_each_fits_the_others() -> None:
    made = Made()
    made.said.mean[:] = made.said.mean[0]
    noise = made.random.normal(size=made.target.shape)
    assert made.examined(made.said.mean + 0.02 * noise).decision == "accept"


def test_a_champion_without_error_bars_still_sees_units_and_shifts() -> None:
    made = Made()
    made.said.std[:] = 0.0
    assert made.examined().decision == "accept"
    assert made.examined(1000.0 * made.target).reasons[0].kind == "scale"


# -- real labels and the model that comes with edgestream --------------------------------------


@pytest.fixture(scope="module")
def champion() -> Bundle:
    return open_store().get("fe-k-fast@1")


@pytest.fixture(scope="module")
def real(data_dir: Path) -> Labels:
    return read_labels(data_dir / "fe_k_xanesnet.npz", 60)


@pytest.mark.data
def test_real_labels_are_accepted(champion: Bundle, real: Labels) -> None:
    assert suspect(real, champion).decision == "accept"


@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("energies", lambda real: {"energy": real.energy / 1000.0}),
        ("energies", lambda real: {"energy": real.energy - 7112.0}),
        ("element", lambda real: {"element": "Cu"}),
        ("shuffled", lambda real: {"intensity": np.roll(real.intensity, 7, axis=0)}),
    ],
)
def test_real_labels_that_were_spoiled_are_refused(
    champion: Bundle, real: Labels, kind: str, changes: Any
) -> None:
    found = suspect(replace(real, **changes(real)), champion)
    assert (found.decision, found.reasons[0].kind) == ("refuse", kind)


@pytest.mark.data
def test_another_level_of_theory_is_refused_also_when_it_is_normalised(
    champion: Bundle, real: Labels, data_dir: Path
) -> None:
    feff = read_labels(data_dir / "fe_k_feff10.npz", 60)
    there = replace(feff, energy=feff.energy + 7112.0)
    assert [r.kind for r in suspect(there, champion).reasons] == ["scale", "theory"]
    level = real.intensity.mean() / feff.intensity.mean()
    found = suspect(replace(there, intensity=feff.intensity * level), champion)
    assert [r.kind for r in found.reasons] == ["theory"]


@pytest.mark.data
def test_copper_labelled_iron_is_not_accepted(champion: Bundle, data_dir: Path) -> None:
    copper = read_labels(data_dir / "cu_k_omnixas.npz", 40)
    numbers = copper.batch.numbers.copy()
    numbers[copper.batch.offsets[:-1]] = 26
    batch = StructureBatch.from_arrays(numbers, copper.batch.positions, copper.batch.offsets)
    moved = replace(copper, element="Fe", batch=batch, energy=copper.energy - 8979.0 + 7112.0)
    assert suspect(replace(copper, element="Fe", batch=batch), champion).decision == "refuse"
    assert suspect(moved, champion).decision != "accept"


@pytest.mark.data
def test_what_is_known_already_is_told_and_what_contradicts_it_refused(
    champion: Bundle, real: Labels
) -> None:
    part = replace(
        real,
        batch=real.batch[:20],
        sites=Sites(np.arange(20), np.zeros(20, dtype=np.int64)),
        intensity=real.intensity[:20],
    )
    found = suspect(part, champion, known=real)
    assert (found.decision, found.set_aside) == ("accept", tuple(range(20)))
    other = replace(real, intensity=1.1 * real.intensity)
    found = suspect(part, champion, known=other)
    assert (found.decision, found.reasons[-1].kind) == ("refuse", "contradiction")
