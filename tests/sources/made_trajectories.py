"""Trajectories in the formats of other programs, written by chemfiles."""

from __future__ import annotations

import chemfiles


def write_with_chemfiles(path, frames, times_ps=None):
    with chemfiles.Trajectory(str(path), "w") as out:
        for k, atoms in enumerate(frames):
            frame = chemfiles.Frame()
            for symbol, place in zip(atoms.symbols, atoms.positions, strict=True):
                frame.add_atom(chemfiles.Atom(symbol), list(place))
            if atoms.pbc.any():
                frame.cell = chemfiles.UnitCell(atoms.cell.lengths(), atoms.cell.angles())
            if times_ps is not None:
                frame["time"] = float(times_ps[k])
                frame.step = k
            out.write(frame)
