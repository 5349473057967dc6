"""Entries to jobs, jobs to batches: what is predicted together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import msgspec

from stream.broker import Entry
from stream.codec import decode
from stream.messages import FrameBlock, join_sites, join_structures, join_times
from xas.errors import BadMessage
from xas.structure import Sites, StructureBatch

MOST_JOBS = 1024  # in one batch: a broker's scripts take only so many entries at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A decoded entry; its arrays are looked at when its batch is joined."""

    entry: Entry
    block: FrameBlock

    @classmethod
    def of(cls, entry: Entry) -> Job:
        """Decode; BadMessage (or NewerProtocol) where the bytes are not ours."""
        block = decode(entry.payload, FrameBlock)
        if (block.run, block.first, block.n_frames) != (entry.run, entry.first, entry.n_frames):
            raise BadMessage("the block and its entry disagree about run, index or count")
        return cls(entry=entry, block=block)

    @property
    def n_atoms(self) -> int:
        """As many as the block says."""
        return math.prod(self.block.numbers.shape)

    @property
    def is_explicit(self) -> bool:
        """Whether the producer named the absorbers; else they are all of the model's element."""
        return self.block.site_frame is not None and self.block.site_atom is not None

    def with_model(self, model: str) -> Job:
        """The same frames, for another reference."""
        return Job(entry=self.entry, block=msgspec.structs.replace(self.block, model=model))

    def part(self, start: int, end: int) -> Job:
        """Some of the frames."""
        return Job(entry=self.entry, block=self.block.part(start, end))

    def frames(self) -> Iterator[Job]:
        """Each frame as a job of its own."""
        return (self.part(i, i + 1) for i in range(self.block.n_frames))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs for one model, end to end."""

    model: str
    absorber: str | None
    jobs: Sequence[Job]

    @property
    def n_frames(self) -> int:
        """Frames of all jobs."""
        return sum(job.block.n_frames for job in self.jobs)

    @property
    def n_atoms(self) -> int:
        """Atoms of all jobs."""
        return sum(job.n_atoms for job in self.jobs)

    @cached_property
    def joined(self) -> tuple[StructureBatch, Sites | None]:
        """All structures and, where they are explicit, all sites; BadMessage for rotten arrays."""
        blocks = [job.block for job in self.jobs]
        join_times(blocks)  # the writer reads them later, and must not be the one who stumbles
        return join_structures(blocks), join_sites(blocks)

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches of half the jobs, or of half the only job's frames."""
        jobs = list(self.jobs) if len(self.jobs) > 1 else list(self.jobs[0].frames())
        middle = len(jobs) // 2
        return self.of(jobs[:middle]), self.of(jobs[middle:])

    def slices(self, max_atoms: int) -> list[Batch]:
        """The same frames in order, cut into parts of about so many atoms, but whole frames."""
        return [self.of(part) for part in _filled(self._cut(max_atoms), max_atoms)]

    def _cut(self, max_atoms: int) -> Iterator[Job]:
        for job in self.jobs:
            n = job.block.n_frames
            step = max(1, max_atoms * n // max(1, job.n_atoms))
            if step >= n:
                yield job
            else:
                yield from (job.part(i, min(i + step, n)) for i in range(0, n, step))

    def of(self, jobs: Sequence[Job]) -> Batch:
        """Some of the jobs."""
        return Batch(model=self.model, absorber=self.absorber, jobs=jobs)

    def stretches(self) -> list[list[Job]]:
        """The jobs in parts that one result can answer: consecutive frames of one run."""
        parts: list[list[Job]] = []
        for job in self.jobs:
            if parts and _follows(job.entry, parts[-1][-1].entry):
                parts[-1].append(job)
            else:
                parts.append([job])
        return parts


def _follows(entry: Entry, other: Entry) -> bool:
    reached = (other.stream, other.run, other.again, other.first + other.n_frames)
    return reached == (entry.stream, entry.run, entry.again, entry.first)


def batches(
    jobs: Sequence[Job],
    max_atoms: int,
    references: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> list[Batch]:
    """Jobs split by model, by absorber, and by whether their sites are explicit.

    ``references``: (run, model) -> by which reference to predict instead.
    A batch of more than one job has at most ``max_atoms`` atoms: one read may bring many blocks.
    """
    groups: dict[tuple[str, str | None, bool], list[Job]] = {}
    for job in jobs:
        asked_for = job.block.model
        model = references.get((job.block.run, asked_for), asked_for)
        key = (model, job.block.absorber, job.is_explicit)
        groups.setdefault(key, []).append(job)
    return [
        Batch(model=model, absorber=absorber, jobs=part)
        for (model, absorber, _), group in groups.items()
        for part in _filled(group, max_atoms)
    ]


def _filled(jobs: Iterable[Job], max_atoms: int) -> Iterator[list[Job]]:
    part: list[Job] = []
    atoms = 0
    for job in jobs:
        if part and (atoms + job.n_atoms > max_atoms or len(part) == MOST_JOBS):
            yield part
            part, atoms = [], 0
        part.append(job)
        atoms += job.n_atoms
    yield part
