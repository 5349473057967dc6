"""Print the tables of docs/match.md: measured Fe K-edge spectra against calculated ones.

    python -m edgestream.demo.match_table DATA [MODEL]

DATA is the folder of real data (fe_k_xanesnet.npz, fe_k_feff10.npz, xdi/); MODEL, for example fe-k,
adds the model's prediction for the crystals whose structure is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestream.match import Match, match
from stream.sources.measured import MeasuredSpectrum, read_measured

Array = NDArray[np.float64]

EVERY = 8
"""Single complexes are every eighth of the training set: 510 of 4,079."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Calculated spectra (n, n_energy) on one grid, eV."""

    energy: Array
    spectra: Array


def crystals() -> dict[str, Any]:
    """The measured solids whose structures are textbook knowledge, as ase.Atoms by file name.

    Lattice constants (angstrom): hematite Blake et al., Am. Mineral. 51, 123 (1966); wuestite as
    ideal FeO; bcc iron; magnetite Fleet, Acta Cryst. B37, 917 (1981); siderite Graf, Am. Mineral.
    46, 1283 (1961).
    """
    from ase.build import bulk
    from ase.spacegroup import crystal

    hexagonal = (90, 90, 120)
    hematite = crystal(
        ("Fe", "O"),
        [(0, 0, 0.3553), (0.3059, 0, 0.25)],
        spacegroup=167,
        cellpar=[5.038, 5.038, 13.772, *hexagonal],
    )
    magnetite = crystal(
        ("Fe", "Fe", "O"),
        [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2549, 0.2549, 0.2549)],
        spacegroup=227,
        setting=2,
        cellpar=[8.3941] * 3 + [90] * 3,
    )
    siderite = crystal(
        ("Fe", "C", "O"),
        [(0, 0, 0), (0, 0, 0.25), (0.2743, 0, 0.25)],
        spacegroup=167,
        cellpar=[4.6887, 4.6887, 15.373, *hexagonal],
    )
    return {
        "Fe2O3_rt_01": hematite,
        "Fe3O4_rt_01": magnetite,
        "FeO_rt_01": bulk("FeO", "rocksalt", a=4.307),
        "Fe_metal_rt_01": bulk("Fe", "bcc", a=2.8665),
        "Hansel2001_siderite_xanes_001": siderite,
    }


def measured_iron(folder: Path) -> Iterator[tuple[str, MeasuredSpectrum]]:
    """The measured Fe K-edge spectra of a folder, by file name."""
    for path in sorted(folder.glob("*.xdi")):
        spectrum = read_measured(path)
        if (spectrum.element, spectrum.edge) == ("Fe", "K"):
            yield path.stem, spectrum


def solids_table(folder: Path, fdmnes: Labels) -> Iterator[str]:
    """Each measured solid against the mean calculated spectrum and against single complexes."""
    yield "| measured | mean: shift, scale | distance | r | best single | median single |"
    yield "|---|---|---|---|---|---|"
    mean = fdmnes.spectra.mean(axis=0)
    for name, spectrum in measured_iron(folder):
        found = match(spectrum, fdmnes.energy, mean)
        single = [
            match(spectrum, fdmnes.energy, row).distance_percent for row in fdmnes.spectra[::EVERY]
        ]
        yield f"{_row(name, found)} {min(single):.1f} % | {np.median(single):.1f} % |"


def theories_table(data: Path, fdmnes: Labels) -> Iterator[str]:
    """Two theories for the same complex, and for a wrong one: what a perfect structure leaves."""
    with np.load(data / "fe_k_feff10.npz") as file:
        energy, spectra, index = 7112.0 + file["energy"], file["mu"], file["in_train"]
    names = ("FEFF10 against FDMNES of the same complex", "of another complex")
    for name, partner in zip(names, (index, np.roll(index, 1)), strict=True):
        found = [
            match(_as_measured(energy, spectrum), fdmnes.energy, fdmnes.spectra[i])
            for spectrum, i in zip(spectra, partner, strict=True)
        ]
        yield f"{name}: {_summary(found)}"


def crystals_table(folder: Path, model: str) -> Iterator[str]:
    """The model's prediction for known crystals against their measured spectra."""
    from edgestream.prediction import predict

    measured = dict(measured_iron(folder))
    yield "| crystal | shift, scale | distance | r | within two errors |"
    yield "|---|---|---|---|---|"
    for name, atoms in crystals().items():
        sites = predict([atoms], model=model)
        mean, errors = sites.intensity.mean(axis=0), sites.errors.mean(axis=0)
        found = match(measured[name], sites.energy, mean, errors)
        yield f"{_row(name, found)} {found.within_errors or 0.0:.0%} |"


def _row(name: str, found: Match) -> str:
    return (
        f"| {name} | {found.shift_ev:+.1f} eV, {found.scale:.2f}"
        f" | {found.distance_percent:.1f} % | {found.correlation:.3f} |"
    )


def _as_measured(energy: Array, spectrum: Array) -> MeasuredSpectrum:
    return MeasuredSpectrum(energy_ev=energy, mu=spectrum, element="Fe", edge="K", name="FEFF10")


def _summary(found: list[Match]) -> str:
    low, median, high = np.percentile([m.distance_percent for m in found], [25, 50, 75])
    shifts = np.percentile([m.shift_ev for m in found], [25, 50, 75])
    return (
        f"distance {median:.1f} % ({low:.1f}-{high:.1f}), shift {shifts[1]:+.1f} eV"
        f" ({shifts[0]:+.1f} to {shifts[2]:+.1f}), n = {len(found)}"
    )


def main(data: str, model: str = "") -> None:
    """Print the tables."""
    folder = Path(data)
    with np.load(folder / "fe_k_xanesnet.npz") as file:
        fdmnes = Labels(file["energy"], file["mu"].astype(np.float64))
    lines = [*solids_table(folder / "xdi", fdmnes), "", *theories_table(folder, fdmnes)]
    if model:
        lines += ["", *crystals_table(folder / "xdi", model)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
