"""Make the demo trajectory: (butadiene)tricarbonyliron, built in code, GFN2-xTB at 400 K.

    python -m edgestream.demo.make_trajectory [OUTPUT]

The complex is neutral, closed-shell and of the kind that tmQM is full of, so the built-in model
has seen its chemistry; at 400 K its carbonyls bend and rock enough to see the spectrum move.
Needs the extra `demo-input` (tblite). The same seed gives the same file on one machine; other
builds of tblite agree until the dynamics has amplified their last digit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.optimize import BFGS
from numpy.typing import NDArray

TRAJECTORY = Path(__file__).parent / "butadiene_iron_tricarbonyl_400K.extxyz"
SEED = 7112
TEMPERATURE_K = 400.0
STEP_FS = 1.0
STEPS_A_FRAME = 4
EQUILIBRATION_STEPS = 1000
N_FRAMES = 400


def butadiene_iron_tricarbonyl() -> Atoms:
    """Return the complex in its idealised square-pyramidal geometry, iron at the origin.

    A start for the relaxation: Fe-C(diene) 1.9 and 2.25, Fe-C(O) 1.79, C-O 1.14, C-C 1.42,
    C-H 1.08 angstrom.
    """
    diene, hydrogens = _diene(height=1.66)
    carbonyls, oxygens = _carbonyls()
    positions = np.concatenate([[[0.0, 0.0, 0.0]], diene, carbonyls, oxygens, hydrogens])
    return Atoms("FeC4C3O3H6", positions=positions)


def _diene(height: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cis-butadiene in a plane above the iron: four carbons, six hydrogens."""
    carbons = [[1.38, -0.63], [0.71, 0.62], [-0.71, 0.62], [-1.38, -0.63]]
    inner = [[1.23, 1.56], [-1.23, 1.56]]
    outer = [[2.45, -0.68], [0.94, -1.62], [-2.45, -0.68], [-0.94, -1.62]]
    return _lift(carbons, height), _lift(inner + outer, height)


def _lift(plane: Any, height: float) -> NDArray[np.float64]:
    return np.column_stack([plane, np.full(len(plane), height)])


def _carbonyls() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return three carbonyls below the iron, one under the open end of the diene."""
    azimuth = np.radians([90.0, 210.0, 330.0]) + np.pi
    tilt = np.radians(128.0)
    rays = np.column_stack(
        [
            np.sin(tilt) * np.cos(azimuth),
            np.sin(tilt) * np.sin(azimuth),
            np.full(3, np.cos(tilt)),
        ]
    )
    return 1.79 * rays, (1.79 + 1.14) * rays


def dynamics(atoms: Any) -> Iterator[tuple[float, Any]]:
    """Yield (time in fs, the atoms) for every saved frame of an equilibrated Langevin run."""
    random = np.random.default_rng(SEED)
    thermalise(atoms, random)
    langevin = langevin_of(atoms, random)
    langevin.run(EQUILIBRATION_STEPS)
    for frame in range(N_FRAMES):
        yield frame * STEPS_A_FRAME * STEP_FS, atoms
        langevin.run(STEPS_A_FRAME)


def langevin_of(atoms: Any, random: np.random.Generator) -> Any:
    """Return a Langevin run at TEMPERATURE_K; ``atoms`` have a calculator and momenta."""
    return Langevin(
        atoms,
        STEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        friction=0.01 / units.fs,
        rng=random,
        fixcm=False,  # the frames are centred on the iron anyway
    )


def thermalise(atoms: Any, random: np.random.Generator) -> None:
    """Draw momenta from the Maxwell-Boltzmann distribution, at rest as a whole."""
    masses = atoms.get_masses()[:, None]
    momenta = random.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * TEMPERATURE_K)
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def relax(atoms: Any) -> None:
    """Relax in place."""
    optimiser: Any = BFGS(atoms, logfile=None)
    optimiser.run(fmax=0.02, steps=300)


def frame_text(time_fs: float, atoms: Any) -> str:
    """Return one extxyz frame, iron at the origin, five decimals (angstrom)."""
    centred = atoms.positions - atoms.positions[0]
    comment = f"Properties=species:S:1:pos:R:3 time_fs={time_fs:.1f} method=GFN2-xTB charge=0"
    rows = [
        f"{symbol} {x:.5f} {y:.5f} {z:.5f}"
        for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), centred, strict=True)
    ]
    return "\n".join([str(len(atoms)), f'{comment} pbc="F F F"', *rows]) + "\n"


def main(output: Path = TRAJECTORY) -> None:
    """Write the trajectory."""
    from tblite.ase import TBLite

    atoms = butadiene_iron_tricarbonyl()
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    relax(atoms)
    output.write_text("".join(frame_text(*frame) for frame in dynamics(atoms)), encoding="ascii")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
