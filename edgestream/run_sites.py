"""The sites of a run that a model knew little of, as they come onto disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.result_file.reader import RunFile
from trainer.requests import RequestRules, uncertainty_of, worth_of
from xas.errors import RunRefused
from xas.structure import Sites, StructureBatch

BLOCK = 2048  # sites
MOST_ATOMS = 250_000  # of a block, however large its frames
BEHIND = 16 * BLOCK  # from which on only some of the wanted sites are looked at
LOOKED_AT = 256  # of a block then


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WantedSites:
    """Sites of some frames; each stands for ``mass``, itself among them. names: of the frames."""

    structures: StructureBatch
    sites: Sites
    names: list[str]
    mass: float


class RunSites:
    """A result file, growing or finished, from its beginning, a block at a time.

    Only reads, and takes no lock: its writer never waits. Of a block the novelty and error bars
    are read, and the structures only where they say that a label is worth it. Who is far behind
    looks at a part of these, evenly, and catches up.
    """

    def __init__(self, path: Path, model: str, rules: RequestRules) -> None:
        """RunRefused for a run that keeps no structures; BadResultFile."""
        self._file, self._model, self._rules = RunFile(path), model, rules
        self._at = 0
        if not self._file.header.keep_structures:
            raise RunRefused(f"{path} was written without structures: nothing of it can be asked")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def at_end(self) -> bool:
        """Whether all that is there was read; looks again where it was."""
        return self._at >= self._file.n_sites and self._at >= self._file.refresh().n_sites

    def read(self) -> WantedSites | None:
        """The next block of sites; None where none of it is worth a label."""
        n = self._file.n_sites
        rows = slice(self._at, min(n, self._at + BLOCK))
        frame: NDArray[np.int64] = self._file.column("sites/frame_index", n)[rows]
        frame = frame[frame < frame[0] + self._most_frames()]
        rows = slice(self._at, self._at + len(frame))
        self._at = rows.stop
        wanted = self._wanted(rows, frame)
        if not len(wanted):
            return None
        most = LOOKED_AT if n - self._at > BEHIND else BLOCK
        some = wanted[np.linspace(0, len(wanted) - 1, min(len(wanted), most)).astype(int)]
        atom = self._file.column("sites/atom_index", n)[rows][some].astype(np.int64)
        first, last = int(frame[some[0]]), int(frame[some[-1]])
        return WantedSites(
            structures=self._file.structures(slice(first, last + 1)),
            sites=Sites(frame[some] - first, atom),
            names=[f"{self._file.header.run} frame {i}" for i in range(first, last + 1)],
            mass=len(wanted) / len(some),
        )

    def _most_frames(self) -> int:
        each = self._file.n_atoms / max(1, self._file.n_frames)
        return max(1, int(MOST_ATOMS / max(1.0, each)))

    def _wanted(self, rows: slice, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the rows; the novelty of a frame is that of its most novel site."""
        file, frames = self._file, slice(int(frame[0]), int(frame[-1]) + 1)
        novelty = file.column("novelty")[frames][frame - frame[0]].astype(np.float64)
        uncertainty = uncertainty_of(
            file.column("sites/intensity", rows.stop)[rows],
            file.column("sites/intensity_errors", rows.stop)[rows],
        )
        ours = np.array([model.name == self._model for model in file.models])
        model = file.column("model_index")[frames][frame - frame[0]]
        worth = worth_of(novelty, uncertainty, self._rules)
        return np.flatnonzero((worth >= 1.0) & ours[model])
