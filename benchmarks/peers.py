"""Other programs on the same structures, in the same run: a table with ratios.

    python benchmarks/peers.py [--json] [--data FOLDER]

CPU time of the process, all its threads together. A peer that is not installed is left
out, with a line that says so: pip install 'edgestream[bench]'. The column "not the same" says where
a peer does other work than we do.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from edgestream.bench.machine import machine_facts
from edgestream.bench.report import number
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.structures import CUTOFF_ANGSTROM, Sample, complexes, condensed, movie
from edgestream.bench.trajectory_files import write_extxyz
from stream.sources.trajectory import open_trajectory
from xas.descriptor import Descriptor, DescriptorSpec
from xas.neighbours import neighbours_of_sites
from xas.structure import Sites, StructureBatch

REPEAT = 5
PEER_STRUCTURES = 32  # slow peers see the first few of the complexes


@dataclass(frozen=True, kw_only=True)
class Row:
    """One program at one piece of work; ``us`` of CPU, ``ratio`` of its median to ours."""

    work: str
    sample: str
    program: str
    us: Figure
    ratio: float
    not_the_same: str


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A program; ``prepare`` imports it and returns the work; one call does ``per`` units."""

    program: str
    per: int
    prepare: Callable[[], Callable[[], object]]
    not_the_same: str = ""


def compare(work: str, sample: str, contenders: list[Contender]) -> Iterator[Row]:
    """Measure all; the first is ours. ImportError of a peer leaves it out."""
    ours: float | None = None
    for contender in contenders:
        try:
            run = contender.prepare()
        except ImportError as error:
            sys.stderr.write(f"{contender.program} is left out: {error}\n")
            continue
        us = cpu_seconds(run, repeat=REPEAT).scaled(1e6 / contender.per)
        ours = us.median if ours is None else ours
        yield Row(
            work=work,
            sample=sample,
            program=contender.program,
            us=us,
            ratio=us.median / ours,
            not_the_same=contender.not_the_same,
        )


# -- descriptors ----------------------------------------------------------------------------------


def descriptors(sample: Sample) -> list[Contender]:
    """Neighbours and features of the absorbers."""
    spec = DescriptorSpec.paper_2022()
    ours = Descriptor(spec)
    n = len(sample.sites)
    few = sample.structures[:PEER_STRUCTURES]
    chosen = sample.sites.structure < len(few)
    sites = Sites(sample.sites.structure[chosen], sample.sites.atom[chosen])
    return [
        Contender(
            program="edgestream",
            not_the_same=f"wACSF, {spec.n_features} features",
            per=n,
            prepare=lambda: lambda: ours.featurise(sample.structures, sample.sites),
        ),
        Contender(
            program="its numpy reference",
            per=len(sites),
            prepare=lambda: lambda: ours.featurise(few, sites, "numpy"),
            not_the_same="the same features",
        ),
        Contender(
            program="dscribe ACSF, one species",
            per=len(sites),
            prepare=lambda: dscribe_acsf(spec, few, sites, alone=True),
            not_the_same="no weights; else the same numbers, to rounding (test_peers.py)",
        ),
        Contender(
            program="dscribe ACSF, by element",
            per=len(sites),
            prepare=lambda: dscribe_acsf(spec, few, sites, alone=False),
            not_the_same="the same functions for each element and pair of elements",
        ),
        Contender(
            program="dscribe SOAP, n_max 8, l_max 6",
            per=len(sites),
            prepare=lambda: _dscribe_soap(few, sites),
            not_the_same="another descriptor, by element",
        ),
    ]


def dscribe_acsf(
    spec: DescriptorSpec, batch: StructureBatch, sites: Sites, *, alone: bool
) -> Callable[[], object]:
    from dscribe.descriptors import ACSF

    grid = spec.g4
    angular = product(grid.eta, grid.lambdas, grid.zeta)
    acsf = ACSF(
        species=["H"] if alone else _species(batch),
        r_cut=spec.cutoff_angstrom,
        g2_params=list(zip(spec.g2.eta, spec.g2.mu, strict=True)),
        g4_params=[(eta, zeta, sign) for eta, sign, zeta in angular],
        periodic=batch.pbc is not None,
    )
    return _dscribe_calls(acsf, _atoms(batch, alone=alone), sites)


def _dscribe_soap(batch: StructureBatch, sites: Sites) -> Callable[[], object]:
    from dscribe.descriptors import SOAP

    soap = SOAP(
        species=_species(batch),
        r_cut=CUTOFF_ANGSTROM,
        n_max=8,
        l_max=6,
        periodic=batch.pbc is not None,
    )
    return _dscribe_calls(soap, _atoms(batch), sites)


def _dscribe_calls(descriptor: Any, atoms: list[Any], sites: Sites) -> Callable[[], object]:
    centres = [sites.atom[sites.structure == i].tolist() for i in range(len(atoms))]
    return lambda: [
        descriptor.create(a, centers=own) for a, own in zip(atoms, centres, strict=True) if own
    ]


def _species(batch: StructureBatch) -> list[int]:
    return sorted(set(batch.numbers.tolist()))


def _atoms(batch: StructureBatch, *, alone: bool = False) -> list[Any]:
    from ase import Atoms

    return [
        Atoms(
            numbers=np.ones(one.n_atoms, dtype=int) if alone else one.numbers,
            positions=one.positions.astype(np.float64),
            cell=None if one.cells is None else one.cells[0],
            pbc=None if one.pbc is None else one.pbc[0],
        )
        for one in batch
    ]


# -- neighbours -----------------------------------------------------------------------------------


def neighbour_lists(sample: Sample) -> list[Contender]:
    """Neighbours of every atom of a frame: the work of the peers, more than we need."""
    batch = sample.structures[:PEER_STRUCTURES]
    sizes = np.diff(batch.offsets)
    structure = np.repeat(np.arange(len(batch)), sizes)
    every = Sites(structure, np.arange(batch.n_atoms) - batch.offsets[structure])
    per = batch.n_atoms
    return [
        Contender(
            program="edgestream",
            per=per,
            prepare=lambda: lambda: neighbours_of_sites(batch, every, CUTOFF_ANGSTROM),
        ),
        Contender(
            program="vesin",
            per=per,
            prepare=lambda: _vesin(batch),
            not_the_same="returns pairs with indices",
        ),
        Contender(
            program="matscipy",
            per=per,
            prepare=lambda: _matscipy(batch),
            not_the_same="returns pairs with indices, sorted",
        ),
        Contender(
            program="ASE",
            per=per,
            prepare=lambda: _ase_neighbours(batch),
            not_the_same="returns pairs with indices",
        ),
    ]


def _vesin(batch: StructureBatch) -> Callable[[], object]:
    from vesin import NeighborList

    search = NeighborList(cutoff=CUTOFF_ANGSTROM, full_list=True)
    frames = [
        (
            one.positions.astype(np.float64),
            np.zeros((3, 3)) if one.cells is None else one.cells[0],
            one.pbc is not None,
        )
        for one in batch
    ]
    return lambda: [
        search.compute(points=points, box=box, periodic=periodic, quantities="ijD")
        for points, box, periodic in frames
    ]


def _matscipy(batch: StructureBatch) -> Callable[[], object]:
    from matscipy.neighbours import neighbour_list

    atoms = _atoms(batch)
    for one in atoms:
        if not one.pbc.any():
            one.center(vacuum=1.0)  # it inverts the cell, also of a molecule
    return lambda: [neighbour_list("ijD", a, CUTOFF_ANGSTROM) for a in atoms]


def _ase_neighbours(batch: StructureBatch) -> Callable[[], object]:
    from ase.neighborlist import neighbor_list

    atoms = _atoms(batch)
    return lambda: [neighbor_list("ijD", a, CUTOFF_ANGSTROM) for a in atoms]


# -- reading --------------------------------------------------------------------------------------


def readers(path: Path, n_frames: int) -> list[Contender]:
    """A whole extxyz file, every frame's elements and positions as arrays."""
    return [
        Contender(program="edgestream", per=n_frames, prepare=lambda: lambda: _read(path)),
        Contender(
            program="chemfiles",
            per=n_frames,
            prepare=lambda: _chemfiles(path),
            not_the_same="positions as arrays, elements only inside its own frames",
        ),
        Contender(
            program="ASE",
            per=n_frames,
            prepare=lambda: _ase_read(path),
            not_the_same="makes Atoms, with all properties",
        ),
    ]


def _read(path: Path) -> int:
    with open_trajectory(path) as source:
        return sum(len(chunk) for chunk in source)


def _chemfiles(path: Path) -> Callable[[], object]:
    import chemfiles

    def read() -> None:
        with chemfiles.Trajectory(str(path), "r", "XYZ") as file:
            for _ in range(file.nsteps):
                np.array(file.read().positions)

    return read


def _ase_read(path: Path) -> Callable[[], object]:
    from ase.io import read

    return lambda: read(path, ":")


# -- the table ------------------------------------------------------------------------------------


def measure(data: Path | None, folder: Path) -> tuple[list[Row], list[str]]:
    """All rows, and what they were measured on."""
    samples = {"complexes": complexes(data), "liquid": condensed()}
    film = movie(data)
    path = folder / "movie.extxyz"
    write_extxyz(path, film.structures)
    rows: list[Row] = []
    for name, sample in samples.items():
        rows += compare("descriptor, us/absorber", name, descriptors(sample))
    for name, sample in samples.items():
        rows += compare("neighbours of all atoms, us/atom", name, neighbour_lists(sample))
    rows += compare("reading extxyz, us/frame", "trajectory", readers(path, len(film.structures)))
    used = [f"{name}: {sample.name}" for name, sample in samples.items()]
    return rows, [*used, f"reading: {film.name}"]


def markdown(rows: list[Row]) -> Iterator[str]:
    """The table of the README: a line a program, its samples side by side."""
    yield "| work | program | us | x ours | not the same |"
    yield "| --- | --- | --- | --- | --- |"
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        together.setdefault((row.work, row.program), []).append(row)
    for (work, program), same in together.items():
        us = " / ".join(number(row.us.median) for row in same)
        ratios = " / ".join(number(row.ratio) for row in same)
        yield f"| {work} | {program} | {us} | {ratios} | {same[0].not_the_same} |"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="edgestream beside its peers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, help="folder of real data; default: beside, if there")
    asked = parser.parse_args()
    beside = Path(__file__).parents[2] / "shared" / "data"
    data = asked.data or (beside if (beside / "README.md").is_file() else None)
    with tempfile.TemporaryDirectory() as folder:
        rows, used = measure(data, Path(folder))
    if asked.json:
        machine = machine_facts()
        print(json.dumps({"rows": [asdict(r) for r in rows], "used": used, "machine": machine}))
    else:
        print("\n".join([*markdown(rows), "", *used]))


if __name__ == "__main__":
    main()
