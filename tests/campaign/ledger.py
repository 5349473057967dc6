"""The end of a campaign: every frame that was pushed, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from script import Run, Script

from stream.messages import DEAD_LETTERED, DeadLetter
from stream.result_file.reader import RunFile
from workers.predictor import Predictor
from xas.errors import BadResultFile

CHUNK = 2000


@dataclass
class Ledger:
    """Counts of frames, but for ``unreadable``, which are files."""

    frames: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    innocents: int = 0  # dead-lettered
    poison: int = 0  # planted and dead-lettered
    letters_gone: int = 0  # poison whose letter went with the data of a server
    letters_doubled: int = 0
    unreadable: int = 0
    unexplained: int = 0  # times that a producer was sent back though no server had lost data
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        faults = (self.lost, self.doubled, self.wrong, self.innocents, self.unreadable)
        return not any((*faults, self.letters_doubled, self.unexplained))

    def book(self, script: Script, out: Path, predictor: Predictor) -> None:
        """Every frame of every run against the direct prediction."""
        for run in script.runs:
            self.frames += run.n_frames
            try:
                with RunFile(out / f"{run.name}.h5") as file:
                    self._book_run(run, file, predictor)
            except BadResultFile as error:
                self.unreadable += 1
                self.lost += run.n_frames
                self.notes.append(str(error))

    def _book_run(self, run: Run, file: RunFile, predictor: Predictor) -> None:
        index = file.frame_index
        counts = np.bincount(index[(index >= 0) & (index < run.n_frames)], minlength=run.n_frames)
        self.lost += int((counts == 0).sum())
        self.doubled += int((counts > 1).sum()) + int((index >= run.n_frames).sum())
        if not file.sealed:
            self.notes.append(f"{run.name}: not finished, {len(index)} of {run.n_frames}")
        dead = set(np.flatnonzero(file.status == DEAD_LETTERED).tolist())
        self.innocents += len(dead - set(run.poison))
        self.poison += len(dead & set(run.poison))
        n = min(len(index), run.n_frames)
        sites = np.bincount(file.sites.frame, minlength=n)
        for first in range(0, n, CHUNK):
            self._compare(run, file, predictor, first, min(CHUNK, n - first), sites)
        if file.finished and not _is_whole(file):
            self.unreadable += 1

    def _compare(
        self, run: Run, file: RunFile, predictor: Predictor, first: int, n: int, sites: np.ndarray
    ) -> None:
        rows = slice(first, first + n)
        good = np.array([i for i in range(first, first + n) if i not in run.poison])
        direct = predictor.predict(run.frames(first, n).take(good - first))
        apart = np.abs(file.intensity[rows][good - first] - direct.intensity).max(axis=1)
        wrong = ~(apart < 1e-6) | (file.frame_index[rows][good - first] != good)
        self.wrong += int(wrong.sum())
        self.doubled += int((sites[good] > 1).sum())
        if wrong.any():
            self.notes.append(f"{run.name}: frame {good[wrong][0]} is not its own prediction")

    def book_letters(
        self, script: Script, letters: Sequence[DeadLetter], *, forgetful: bool
    ) -> None:
        """Dead letters against the planted poison; only a server that lost data may lack some."""
        planted = {(run.name, i) for run in script.runs for i in run.poison}
        found = Counter((letter.run, letter.first) for letter in letters)
        self.innocents += sum(n for key, n in found.items() if key not in planted)
        self.letters_doubled += sum(n > 1 for n in found.values())
        gone = len(planted - set(found))
        self.letters_gone += gone
        if gone and not forgetful:
            self.lost += gone
            self.notes.append(f"{gone} dead letters are missing")


def _is_whole(file: RunFile) -> bool:
    """Plain h5py reads every dataset of a finished file, and none is of another file."""

    def read(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            assert not item.is_virtual, name
            item[()]

    with h5py.File(file.path, "r", locking=False) as plain:
        try:
            plain.visititems(read)
        except (OSError, AssertionError):
            return False
    return True
