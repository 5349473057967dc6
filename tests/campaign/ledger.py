"""The end of a campaign: every frame that was pushed, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np
from script import Run, Script

from stream.dead_letters import RunLetters
from stream.messages import DEAD_LETTERED
from stream.result_file.reader import RunFile
from stream.result_file.verify import verify
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
    escaped: int = 0  # poison that has a spectrum
    letters_gone: int = 0  # poison whose letter went with the data of a server
    unreadable: int = 0
    unexplained: int = 0  # times that a producer was sent back though no server had lost data
    crashed: int = 0  # processes that ended with a traceback
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        faults = (self.lost, self.doubled, self.wrong, self.innocents, self.escaped)
        others = (self.unreadable, self.unexplained, self.crashed)
        return not any((*faults, *others, *self.notes))

    def counts(self) -> dict[str, int]:
        """Everything that was counted, by name."""
        return {name: n for name, n in asdict(self).items() if name != "notes"}

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
        self.escaped += len(set(run.poison) - dead - set(np.flatnonzero(counts == 0).tolist()))
        n = min(len(index), run.n_frames)
        sites = np.bincount(file.sites.frame, minlength=n)
        for first in range(0, n, CHUNK):
            self._compare(run, file, predictor, first, min(CHUNK, n - first), sites)
        faults = [*verify(file.path).faults, *([] if _is_whole(file) else ["h5py cannot read it"])]
        self.unreadable += bool(faults)
        self.notes += [f"{run.name}: {fault}" for fault in faults]

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

    def book_letters(self, script: Script, out: Path, *, forgetful: bool) -> None:
        """Letters on disk against the planted poison; ``forgetful``: a server lost data.

        A letter may be lacking where the writer died between row and letter, and the server lost
        its own; a frame whose letter was written twice counts once, as for everybody who reads it.
        """
        for run in script.runs:
            found = {kept.index for kept in RunLetters(out, run.name).letters()}
            self.innocents += len(found - set(run.poison))
            gone = len(set(run.poison) - found)
            self.letters_gone += gone
            if gone and not forgetful:
                self.notes.append(f"{run.name}: {gone} dead letters are missing")


def _is_whole(file: RunFile) -> bool:
    """Plain h5py reads every dataset; none of a finished file is of another file."""

    def read(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            assert not (item.is_virtual and file.finished), name
            item[()]

    with h5py.File(file.path, "r", locking=False) as plain:
        try:
            plain.visititems(read)
        except (OSError, AssertionError):
            return False
    return True
