"""The frames of a spool: what a producer kept until its rows were on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgestream.recording import RecordedFrames, RecordedRun, Recording
from stream.codec import decode
from stream.messages import FrameBlock, join_structures, join_times
from stream.settings import Settings
from stream.spool import Spool
from xas.errors import RunRefused
from xas.structure import Sites

_NONE = np.zeros(0, dtype=np.int64)
NO_SITES = Sites(_NONE, _NONE)


class RecordedSpool:
    """A spool, DIR/RUN, that no producer holds; frames before ``first`` are not in it any more."""

    def __init__(self, folder: Path) -> None:
        self._spool = Spool(folder.parent, folder.name, settings=Settings())
        record = self._spool.record
        if record is None or self._spool.is_empty:
            self._spool.close()
            raise RunRefused(f"{folder} holds no frames: a spool is emptied as rows reach the disk")
        self.run = record.run
        self.time_units, self.title = record.spec.time_units, record.spec.title
        self.sample = record.spec.sample
        self.first, self.n_frames = self._spool.first, self._spool.end
        frames = self._blocks(self.first, self.first + 1)[0].structures()
        self.atoms = frames.n_atoms * (self.n_frames - self.first)

    def present(self, index: int) -> tuple[int, int]:
        """See Recording."""
        return self._spool.present(index)

    def read(self, first: int, end: int) -> RecordedFrames:
        """See Recording."""
        blocks = self._blocks(first, end)
        part = slice(first - blocks[0].first, end - blocks[0].first)
        lengths = [block.n_frames for block in blocks]
        frame, atom, known = [], [], []
        for before, block in zip(np.cumsum([0, *lengths]), blocks, strict=False):
            sites = block.sites() or NO_SITES
            frame.append(sites.structure + before - part.start)
            atom.append(sites.atom)
            known.append(np.full(block.n_frames, block.site_frame is not None))
        structure = np.concatenate(frame)
        inside = (structure >= 0) & (structure < end - first)
        return RecordedFrames(
            structures=join_structures(blocks)[part],
            times=join_times(blocks)[part],
            t_pushed=np.repeat([block.t_pushed for block in blocks], lengths)[part],
            sites=Sites(structure[inside], np.concatenate(atom)[inside]),
            known=np.concatenate(known)[part],
        )

    def _blocks(self, first: int, end: int) -> list[FrameBlock]:
        """The blocks that hold some frames, one after the other."""
        blocks = []
        while first < end:
            spooled = self._spool.read(first)
            blocks.append(decode(spooled.payload, FrameBlock))
            first = spooled.end
        return blocks


def open_recording(path: Path) -> Recording:
    """A result file or the spool of a run; RunRefused for what holds no structures.

    BadResultFile for a file that is no result file.
    """
    if not path.is_dir():
        return RecordedRun(path)
    if not (path / "spool.json").exists():
        raise RunRefused(f"{path} is not the spool of a run: give a result file or SPOOL/RUN")
    return RecordedSpool(path)
