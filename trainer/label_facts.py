"""What is wrong with labels as anybody can see who knows the model's element and energies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Manifest
from trainer.findings import Reason
from trainer.prediction import EDGE_SLACK_EV

Array = NDArray[np.float64]

LEAST_OVERLAP = 0.5
"""Of the labels' energies within the model's."""


def common_energies(energy: Array, manifest: Manifest) -> NDArray[np.bool_]:
    """Which of the labels' energies, (n_energy,) eV, the model predicts."""
    own = manifest.output.energy_ev
    return np.asarray((energy >= own[0] - EDGE_SLACK_EV) & (energy <= own[-1] + EDGE_SLACK_EV))


def wrong_facts(element: str, energy: Array, manifest: Manifest) -> Iterator[Reason]:
    """Another element, or energies in another unit, from another zero or of another edge."""
    who = f"{manifest.reference} predicts"
    if element != manifest.element:
        yield Reason(
            kind="element",
            words=f"labels of {element}, but {who} {manifest.element} {manifest.edge}",
            figure=0.0,
            limit=0.0,
        )
    part = float(common_energies(energy, manifest).mean())
    if part < LEAST_OVERLAP:
        own = manifest.output.energy_ev
        yield Reason(
            kind="energies",
            words=f"energies {energy[0]:g} to {energy[-1]:g}, but {who} {own[0]:g} to {own[-1]:g} "
            f"eV: {_why(energy, own)}",
            figure=part,
            limit=LEAST_OVERLAP,
        )


def _why(energy: Array, own: tuple[float, ...]) -> str:
    if own[0] <= 1000.0 * float(np.median(energy)) <= own[-1]:
        return "in keV?"
    if energy[0] < 0.1 * own[0] and abs(energy[-1]) < 0.1 * own[0]:
        return "counted from the edge?"
    return "another edge?"
