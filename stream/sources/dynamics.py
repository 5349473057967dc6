"""Frames from a dynamics that runs in this process.

dyn.attach(run.observe(atoms), interval=10)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream.sources.frames import FrameChunk
from xas.structure import AtomsLike, StructureBatch


@dataclass(frozen=True, slots=True)
class Observer:
    """Copies the atoms' state to `push` on every call.

    atoms   the ase.Atoms that the dynamics moves
    push    takes a chunk of one frame
    clock   returns the time in fs, e.g. lambda: dyn.get_time() / ase.units.fs; None: no time axis
    """

    atoms: AtomsLike
    push: Callable[[FrameChunk], object]
    clock: Callable[[], float] | None = None

    def __call__(self) -> None:
        """Push the atoms as they are now."""
        times = None if self.clock is None else np.array([self.clock()], dtype=np.float64)
        structures = StructureBatch.from_atoms(self.atoms)
        self.push(FrameChunk(structures=structures, times_fs=times))
