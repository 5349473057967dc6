"""Entries to jobs, jobs to batches: what is predicted together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stream.broker import Entry
from stream.codec import decode
from stream.messages import FrameBlock
from xas.errors import BadMessage
from xas.structure import Sites, StructureBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A decoded entry. ``sites`` None: all atoms of the model's element."""

    entry: Entry
    block: FrameBlock
    structures: StructureBatch
    sites: Sites | None

    @classmethod
    def of(cls, entry: Entry) -> Job:
        """Decode and check; BadMessage (or NewerProtocol) where the bytes are not ours."""
        block = decode(entry.payload, FrameBlock)
        if (block.run, block.first, block.n_frames) != (entry.run, entry.first, entry.n_frames):
            raise BadMessage("the block and its entry disagree about run, index or count")
        block.frame_times()  # the writer reads them later, and must not be the one who stumbles
        return cls(entry=entry, block=block, structures=block.structures(), sites=block.sites())

    def frames(self) -> Iterator[Job]:
        """Each frame as a job of its own."""
        for i in range(self.block.n_frames):
            one = self.block.cut(i)
            yield Job(entry=self.entry, block=one, structures=one.structures(), sites=one.sites())


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Jobs for one model, end to end."""

    model: str
    absorber: str | None
    jobs: Sequence[Job]

    @property
    def sizes(self) -> list[int]:
        """Frames of each job."""
        return [len(job.structures) for job in self.jobs]

    def joined(self) -> tuple[StructureBatch, Sites | None]:
        """All structures and, where they are explicit, all sites."""
        structures = StructureBatch.concatenate([job.structures for job in self.jobs])
        explicit = [job.sites for job in self.jobs if job.sites is not None]
        if not explicit:
            return structures, None
        starts = np.cumsum([0, *self.sizes])[:-1]
        rows = [s.structure + n for s, n in zip(explicit, starts, strict=True)]
        return structures, Sites(np.concatenate(rows), np.concatenate([s.atom for s in explicit]))

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches of half the jobs, or of half the only job's frames."""
        jobs = list(self.jobs) if len(self.jobs) > 1 else list(self.jobs[0].frames())
        middle = len(jobs) // 2
        first = Batch(model=self.model, absorber=self.absorber, jobs=jobs[:middle])
        return first, Batch(model=self.model, absorber=self.absorber, jobs=jobs[middle:])


def batches(jobs: Sequence[Job], max_atoms: int) -> list[Batch]:
    """Jobs split by model, by absorber, and by whether their sites are explicit.

    A batch of more than one job has at most ``max_atoms`` atoms: one read may bring many blocks.
    """
    groups: dict[tuple[str, str | None, bool], list[Job]] = {}
    for job in jobs:
        key = (job.block.model, job.block.absorber, job.sites is None)
        groups.setdefault(key, []).append(job)
    return [
        Batch(model=model, absorber=absorber, jobs=part)
        for (model, absorber, _), group in groups.items()
        for part in _filled(group, max_atoms)
    ]


def _filled(jobs: Sequence[Job], max_atoms: int) -> Iterator[list[Job]]:
    part: list[Job] = []
    atoms = 0
    for job in jobs:
        if part and atoms + job.structures.n_atoms > max_atoms:
            yield part
            part, atoms = [], 0
        part.append(job)
        atoms += job.structures.n_atoms
    yield part
