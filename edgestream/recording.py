"""Recorded frames that can be predicted again, wherever they were recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.result_file import RunFile
from stream.result_file.rows import PREDICTED
from xas.errors import RunRefused
from xas.structure import Sites, StructureBatch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedFrames:
    """Some frames: structures, times (n,) in the run's units, and the sites that had spectra.

    known (n,): whether the sites of a frame are known; where not, the model chooses.
    """

    structures: StructureBatch
    times: NDArray[np.float64]
    t_pushed: NDArray[np.float64]
    sites: Sites
    known: NDArray[np.bool_]


class Recording(Protocol):
    """Frames 0 to n_frames of a run, as far as they are there; about ``atoms`` in all of them."""

    run: str
    time_units: str
    title: str
    sample: str
    n_frames: int
    atoms: int

    def present(self, index: int) -> tuple[int, int]:
        """The next frames from ``index`` on that are there: the first, the index after the last."""

    def read(self, first: int, end: int) -> RecordedFrames:
        """Frames first to end, all of them there."""


class RecordedRun:
    """A result file, growing or finished, as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self.file = RunFile(path)
        header = self.file.header
        if not header.keep_structures:
            raise RunRefused(
                f"{path} was written without structures: push its trajectory again instead"
            )
        self.run, self.time_units = header.run, header.time_units
        self.title, self.sample = header.title, header.sample
        self.n_frames = self.file.n_frames
        self.atoms = self.file.n_atoms
        self._site_frame = self.file.sites.frame

    def present(self, index: int) -> tuple[int, int]:
        """See Recording."""
        return index, self.n_frames

    def read(self, first: int, end: int) -> RecordedFrames:
        """See Recording."""
        part = slice(first, end)
        low, high = np.searchsorted(self._site_frame, [first, end])
        return RecordedFrames(
            structures=self.file.structures(part),
            times=self.file.column("frame_time")[part],
            t_pushed=self.file.column("t_pushed")[part],
            sites=Sites(
                self._site_frame[low:high] - first,
                self.file.column("sites/atom_index", high)[low:high].astype(np.int64),
            ),
            known=self.file.column("status")[part] == PREDICTED,
        )
