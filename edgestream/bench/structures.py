"""What is measured on: real data where they are at hand, else what ships or is made from a seed.

``data`` is the folder of the project's real data; None: it is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestream.demo_command import demo_trajectory
from stream.sources.frames import FrameChunk
from stream.sources.trajectory import open_trajectory
from xas.neighbours import neighbours_of_sites
from xas.structure import Sites, StructureBatch, sites_of_element

TRAJECTORY = Path("trajectories") / "fe_complex_69_atoms_300K.xyz"
COMPLEXES = "fe_k_xanesnet.npz"
SMALLEST, LARGEST = 44, 56  # atoms of a complex
N_COMPLEXES = 256
CUTOFF_ANGSTROM = 6.0
IRON = 26
LIQUID_SPACING_ANGSTROM = 2.118  # 89 neighbours within 6 angstrom, the density of water
MOLECULE_SPACING_ANGSTROM = 2.72
ONE_IRON_IN = 8
_SEED = 2022


# -- a trajectory ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Movie:
    """A trajectory as a reader hands it out, to be repeated; ``name`` says which."""

    name: str
    path: Path
    chunks: list[FrameChunk]

    @property
    def structures(self) -> StructureBatch:
        """Its frames once."""
        return StructureBatch.concatenate([chunk.structures for chunk in self.chunks])

    def repeated(self, n_frames: int) -> list[StructureBatch]:
        """Its chunks over and over, n frames in all; views, whatever n is."""
        parts, left = [], n_frames
        for chunk in cycle(self.chunks):
            parts.append(chunk.structures[: min(left, len(chunk))])
            left -= len(parts[-1])
            if not left:
                break
        return parts


def movie(data: Path | None) -> Movie:
    """1,006 frames of an Fe complex of 69 atoms at 300 K; without the data, the demo's 17 atoms."""
    path = demo_trajectory() if data is None else data / TRAJECTORY
    with open_trajectory(path) as source:
        chunks = list(source)
    n_atoms = chunks[0].structures[:1].n_atoms
    which = "shipped demo" if data is None else "real data"
    name = f"{path.name} ({which}; {n_atoms} atoms a frame)"
    return Movie(name=name, path=path, chunks=chunks)


# -- structures and their absorbers ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Structures and the sites that are computed in them."""

    name: str
    structures: StructureBatch
    sites: Sites


def complexes(data: Path | None) -> Sample:
    """256 Fe complexes of 44 to 56 atoms, one absorber each; made where the data are not here."""
    batch = _molecules() if data is None else _real_complexes(data / COMPLEXES)
    n = len(batch)
    sites = Sites(np.arange(n), np.zeros(n, dtype=np.int64))
    source = "made, seeded" if data is None else f"real, {COMPLEXES}"
    return _named(f"{n} Fe complexes of {SMALLEST}-{LARGEST} atoms ({source})", batch, sites)


def condensed(n_atoms: int = 512) -> Sample:
    """One periodic frame of a made liquid, about 89 neighbours within 6 angstrom, 1 atom in 8 Fe.

    At most 1,000 of the Fe atoms are absorbers.
    """
    batch = _liquid(n_atoms)
    sites = sites_of_element(batch, IRON)
    sites = Sites(sites.structure[:1000], sites.atom[:1000])
    return _named(f"a periodic frame of {batch.n_atoms} atoms (made, seeded)", batch, sites)


def _named(name: str, batch: StructureBatch, sites: Sites) -> Sample:
    around = neighbours_of_sites(batch, sites, CUTOFF_ANGSTROM)
    mean = np.diff(around.offsets).mean()
    words = f"{name}, {len(sites)} absorbers with {mean:.0f} neighbours within 6 angstrom"
    return Sample(name=words, structures=batch, sites=sites)


def _real_complexes(path: Path) -> StructureBatch:
    with np.load(path) as data:
        numbers, positions, offsets = data["numbers"], data["positions"], data["offsets"]
    sizes = np.diff(offsets)
    chosen = np.flatnonzero((sizes >= SMALLEST) & (sizes <= LARGEST))[:N_COMPLEXES]
    return StructureBatch.from_arrays(numbers, positions, offsets).take(chosen)


def _molecules() -> StructureBatch:
    """Balls cut from a shaken lattice around an Fe atom."""
    rng = np.random.default_rng(_SEED)
    grid = _lattice(7) - 3.0
    order = np.argsort((grid**2).sum(axis=1), kind="stable")
    made = []
    for size in rng.integers(SMALLEST, LARGEST + 1, N_COMPLEXES).tolist():
        positions = MOLECULE_SPACING_ANGSTROM * grid[order[:size]]
        positions[1:] += rng.normal(0.0, 0.2, (size - 1, 3))
        numbers = rng.choice([1, 6, 7, 8], size=size)
        numbers[0] = IRON
        made.append(StructureBatch.from_arrays(numbers, positions))
    return StructureBatch.concatenate(made)


def _liquid(n_atoms: int) -> StructureBatch:
    """A shaken simple cubic lattice of at least so many atoms, periodic."""
    rng = np.random.default_rng(_SEED)
    n = int(np.ceil(n_atoms ** (1 / 3) - 1e-9))
    positions = LIQUID_SPACING_ANGSTROM * _lattice(n) + rng.normal(0.0, 0.2, (n**3, 3))
    numbers = rng.choice([1, 8], size=n**3)
    numbers[rng.permutation(n**3)[: n**3 // ONE_IRON_IN]] = IRON
    cell = LIQUID_SPACING_ANGSTROM * n * np.eye(3)
    return StructureBatch.from_arrays(numbers, positions, None, cell, np.ones(3, dtype=bool))


def _lattice(n: int) -> NDArray[np.float64]:
    return np.stack(np.meshgrid(*[np.arange(float(n))] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
