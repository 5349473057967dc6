"""Plays the theory code: finds the cluster that it was given in a table, and writes its spectrum.

    python theory_code.py TABLE.npz feff|fdmnes [fail-once FILE | hang]

A real process in the folder that was prepared for it; it knows nothing but the input there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def main(table: str, program: str, *mood: str) -> None:
    if mood and mood[0] == "hang":
        Path("pid").write_text(str(os.getpid()))
        time.sleep(600)
    if mood and not Path(mood[1]).exists():
        Path(mood[1]).touch()
        sys.exit("SCF did not converge")
    known = np.load(table)
    distances = given(program)
    best = int(np.abs(known["length"] - distances[1]).argmin())
    assert abs(known["length"][best] - distances[1]) < 1e-4
    write(program, known["energy"], known["mu"][best])


def given(program: str) -> Floats:
    """Distances of all atoms from the absorber, angstrom."""
    name, above, first = (
        ("feff.inp", "ATOMS", 0) if program == "feff" else ("fdmnes_in.txt", "Molecule", 1)
    )
    lines = Path(name).read_text().splitlines()
    rows = [line.split() for line in lines[lines.index(above) + 1 :]]
    rows = [row for row in rows if len(row) == 4]
    places = np.array([[float(x) for x in row[first : first + 3]] for row in rows])
    return np.sqrt(((places - places[0]) ** 2).sum(axis=1))


def write(program: str, energy: Floats, mu: Floats) -> None:
    if program == "feff":
        rows = [
            f"{e:.6f} {e - 7112:.4f} 0.0 {m:.9e} 0.0 0.0" for e, m in zip(energy, mu, strict=True)
        ]
        Path("xmu.dat").write_text("# FEFF 10\n# omega e k mu mu0 chi\n" + "\n".join(rows) + "\n")
    else:
        rows = [f"{e:.6f} {m:.9e}" for e, m in zip(energy, mu, strict=True)]
        Path("spectrum_conv.txt").write_text("   Energy    <xanes>\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
