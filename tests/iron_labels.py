"""Labels made here: octahedra of O around Fe, whose edge moves with the bond length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stream.labels import Label, label_of
from trainer.archive_writer import ArchiveWriter
from xas.structure import StructureBatch

ENERGY = np.linspace(7100.0, 7160.0, 61)
AXES = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
NUMBERS = [26, 8, 8, 8, 8, 8, 8]


def octahedron(length: float = 2.0) -> StructureBatch:
    return StructureBatch.from_arrays(NUMBERS, AXES * length)


def spectrum(length: float = 2.0) -> np.ndarray[Any, Any]:
    edge = 7120.0 - 10.0 * (length - 2.0)
    return 0.5 + np.arctan((ENERGY - edge) / 1.5) / np.pi


def iron_label(length: float = 2.0, **about: Any) -> Label:
    """One label; about: what ``label_of`` takes, and ``structure``, ``energy``, ``intensity``."""
    structure = about.pop("structure", octahedron(length))
    energy = about.pop("energy", ENERGY)
    intensity = about.pop("intensity", spectrum(length))
    about = {"theory": "FDMNES", "source": "made", "name": f"octahedron {length:g}"} | about
    return label_of(structure, energy, intensity, **about)


def iron_labels(n: int) -> list[Label]:
    """Different ones."""
    return [iron_label(1.8 + 0.5 * i / n) for i in range(n)]


def iron_archive(folder: Path, lengths: Sequence[float], energy: np.ndarray[Any, Any]) -> None:
    """Add octahedra to an archive, their spectra on these energies, eV."""
    made = [
        iron_label(x, energy=energy, intensity=np.interp(energy, ENERGY, spectrum(x)))
        for x in lengths
    ]
    with ArchiveWriter(folder) as writer:
        writer.append(made, [0.0] * len(made))
