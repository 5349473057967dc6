"""Input of FEFF and FDMNES for the atoms around one absorber; ``feff`` and ``fdmnes`` read it back.

FEFF: documentation of FEFF 9 and 10, "Input file: cards". FDMNES User's Guide, "Main input file".
Settings are those a beginner is advised to use: for others, let the command change the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from stream.sources.fdmnes import LIST
from stream.sources.feff import INPUT
from xas.edges import element_symbol
from xas.errors import BadLabels
from xas.lattice import dual_vectors
from xas.structure import StructureBatch

PROGRAMS = ("feff", "fdmnes")
FDMNES_INPUT = "fdmnes_in.txt"
MOST_ATOMS = 1000


@dataclass(frozen=True, slots=True)
class Cluster:
    """numbers (n,), positions (n, 3), angstrom, from the absorber, the first; nearest first."""

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]


def theory_input(
    program: str, structure: StructureBatch, edge: str, radius: float
) -> dict[str, str]:
    """Files of a program, by name, for atom 0 of a batch of one and all within radius, angstrom.

    BadLabels for a cluster that is none; KeyError for a program that is not in PROGRAMS.
    """
    cluster = cluster_of(structure, radius)
    if program == "feff":
        return {INPUT: _feff(cluster, edge, radius)}
    if program == "fdmnes":
        return {LIST: f"1\n{FDMNES_INPUT}\n", FDMNES_INPUT: _fdmnes(cluster, edge, radius)}
    raise KeyError(program)


def cluster_of(structure: StructureBatch, radius: float) -> Cluster:
    """Atom 0 of a batch of one and all atoms within radius, angstrom, periodic images too."""
    positions = structure.positions.astype(np.float64)
    shifts = _translations(structure, radius + float(np.ptp(positions, axis=0).max()))
    away = (positions[None] - positions[0] + shifts[:, None]).reshape(-1, 3)
    numbers = np.tile(structure.numbers.astype(np.int64), len(shifts))
    distance = np.sqrt((away**2).sum(axis=1))
    order = np.argsort(distance, kind="stable")
    order = order[distance[order] <= radius]
    if not 2 <= len(order) <= MOST_ATOMS:
        raise BadLabels(f"{len(order)} atoms within {radius:g} angstrom: 2 to {MOST_ATOMS} wanted")
    return Cluster(numbers[order], away[order])


def _translations(structure: StructureBatch, reach: float) -> NDArray[np.float64]:
    """The lattice vectors by which an atom may come within reach, (n, 3); the zero alone."""
    duals = dual_vectors(structure)
    if duals is None or structure.cells is None:
        return np.zeros((1, 3))
    if not np.isfinite(duals).all():
        raise BadLabels("its cell has no volume")
    most = np.ceil(reach * np.sqrt((duals[0] ** 2).sum(axis=1))).astype(int)
    if (2 * most + 1).prod() > 50 * MOST_ATOMS:
        raise BadLabels(f"its cell is too small for a cluster of {reach:g} angstrom")
    steps = list(product(*(range(-int(n), int(n) + 1) for n in most)))
    translations: NDArray[np.float64] = np.array(steps, dtype=np.float64) @ structure.cells[0]
    return translations


def _feff(cluster: Cluster, edge: str, radius: float) -> str:
    others = sorted(set(cluster.numbers[1:].tolist()))
    kind = {z: i for i, z in enumerate(others, start=1)}
    absorber = int(cluster.numbers[0])
    potentials = [(0, absorber), *((kind[z], z) for z in others)]
    atoms = [0, *(kind[int(z)] for z in cluster.numbers[1:])]
    lines = [
        f"TITLE {element_symbol(absorber)} {edge}, {len(atoms)} atoms",
        f"EDGE {edge}",
        "S02 1.0",
        "CONTROL 1 1 1 1 1 1",
        "EXCHANGE 0",
        f"SCF {min(radius, 4.5):.2f}",
        f"FMS {radius:.2f}",
        "XANES 6.0",
        "POTENTIALS",
        *(f"{ipot:4d} {z:4d} {element_symbol(z)}" for ipot, z in potentials),
        "ATOMS",
        *(f"{_place(p)} {ipot:4d}" for p, ipot in zip(cluster.positions, atoms, strict=True)),
        "END",
    ]
    return "\n".join(lines) + "\n"


def _fdmnes(cluster: Cluster, edge: str, radius: float) -> str:
    lines = [
        "Filout",
        "spectrum",
        "Range",
        "-20. 0.2 60.",
        "Radius",
        f"{radius:.2f}",
        "Edge",
        edge,
        "Absorber",
        "1",
        "Energpho",
        "Molecule",
        "1. 1. 1. 90. 90. 90.",  # so that coordinates are in angstrom
        *(f"{z} {_place(p)}" for z, p in zip(cluster.numbers, cluster.positions, strict=True)),
        "Convolution",
        "End",
    ]
    return "\n".join(lines) + "\n"


def _place(position: NDArray[np.float64]) -> str:
    return " ".join(f"{x:12.6f}" for x in position)
