"""A trajectory into a run: what ``run`` and ``push`` have in common."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stream.sources.frames import FrameChunk
from stream.sources.trajectory import TrajectorySource, open_trajectory
from xas.edges import element_symbol
from xas.errors import BadStructure, BadTrajectory, Reject, RunRefused
from xas.structure import Sites, StructureBatch

if TYPE_CHECKING:
    from stream.producer import Producer


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A trajectory and how to read it; ``path`` "-" is extxyz on standard input."""

    path: str
    every: int = 1
    timestep_fs: float | None = None
    topology: Path | None = None
    types: Mapping[int, str] | None = None
    absorbers: Sequence[int] | None = None

    @property
    def selection(self) -> str:
        """Which frames are taken, and their times, in words: what must not change in one run."""
        step = "" if self.timestep_fs is None else f", {self.timestep_fs:g} fs apart"
        return f"every {self.every}{step}"

    @property
    def is_pipe(self) -> bool:
        """Whether it can be read only once."""
        return self.path == "-"

    def require_repeatable(self) -> None:
        """Reject for a pipe: whoever resumes has to read from the beginning again."""
        if self.is_pipe:
            raise Reject("--resume: standard input cannot be read again from its beginning")

    def open(self, first: int = 0) -> TrajectorySource:
        """Open it behind its first selected frames; BadTrajectory."""
        return open_trajectory(
            self.path,
            every=self.every,
            timestep_fs=self.timestep_fs,
            topology=self.topology,
            types=self.types,
            first=first,
        )

    def sites(self, structures: StructureBatch) -> Sites | None:
        """The chosen atoms of every frame; None: all of the model's element.

        BadStructure for an index that no frame has.
        """
        if self.absorbers is None:
            return None
        smallest = int(np.diff(structures.offsets).min())
        if max(self.absorbers) >= smallest:
            raise BadStructure(
                f"{self.path}: --absorber {max(self.absorbers)}, but there are frames of "
                f"{smallest} atoms (the first atom is 0)"
            )
        n, own = len(structures), np.asarray(self.absorbers, dtype=np.int64)
        return Sites(np.repeat(np.arange(n), len(own)), np.tile(own, n))


class Opened:
    """A trajectory whose first chunk has been looked at, so that bad input is known early.

    stop: ends the wait for the next frame of a pipe.
    """

    def __init__(
        self, trajectory: Trajectory, first: int = 0, stop: threading.Event | None = None
    ) -> None:
        self._trajectory = trajectory
        self._source = trajectory.open(first)
        self._stop = stop or threading.Event()
        is_pipe = trajectory.is_pipe
        self._chunks = _arriving(self._source, self._stop) if is_pipe else self._source
        self._fault: BadTrajectory | None = None
        self._head = self._read()

    @property
    def time_units(self) -> str:
        """What its frames' times are: "fs", or "frame" where only their order is known."""
        return "frame" if self._head is None or self._head.times_fs is None else "fs"

    @property
    def is_empty(self) -> bool:
        """Whether there is not a single frame."""
        return self._head is None

    @property
    def first_frame(self) -> StructureBatch | None:
        """The frame that comes next, as a batch of one; None where none does."""
        return None if self._head is None else self._head.structures[0:1]

    @property
    def n_frames_hint(self) -> int | None:
        """How many selected frames there may be."""
        return self._source.n_frames_hint

    def _read(self) -> FrameChunk | None:
        try:
            return next(self._chunks, None)
        except BadTrajectory as error:
            self._fault = error
            return None

    def __iter__(self) -> Iterator[FrameChunk]:
        """All chunks; then BadTrajectory where the file ended badly."""
        while self._head is not None:
            chunk, self._head = self._head, None
            yield chunk
            self._head = self._read()
        if self._fault is not None:
            raise self._fault

    def require_frames(self) -> None:
        """BadTrajectory where there is not a single frame; KeyboardInterrupt where stopped."""
        if self._head is None and self._fault is None and self._stop.is_set():
            raise KeyboardInterrupt
        if self._head is None:
            raise self._fault or BadTrajectory(f"{self._trajectory.path}: no frames in it")

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _arriving(source: TrajectorySource, stop: threading.Event) -> Iterator[FrameChunk]:
    """Read in a thread: a read of a pipe that nobody writes to does not end by itself."""
    arrived: queue.Queue[FrameChunk | BadTrajectory | None] = queue.Queue(maxsize=1)

    def read() -> None:
        try:
            for chunk in source:
                arrived.put(chunk)
            arrived.put(None)
        except BadTrajectory as error:
            arrived.put(error)

    threading.Thread(target=read, daemon=True, name="pipe").start()
    while not stop.is_set():
        try:
            item = arrived.get(timeout=0.1)
        except queue.Empty:
            continue
        if item is None:
            return
        if isinstance(item, BadTrajectory):
            raise item
        yield item


def require_absorber(trajectory: Trajectory, element: int) -> None:
    """BadStructure where no frame of a file has the absorbing element among its absorbers.

    Reads until the first that has: usually the very first frame. A pipe is taken as it comes.
    """
    if trajectory.is_pipe:
        return
    opened = Opened(trajectory)
    try:
        opened.require_frames()
        if not any(_has_absorber(trajectory, chunk.structures, element) for chunk in opened):
            which = "any frame" if trajectory.absorbers is None else "any frame at those indices"
            raise BadStructure(
                f"{trajectory.path}: no {element_symbol(element)} atom in {which}, nothing to "
                "predict: take a model of another element, or other atoms with --absorber"
            )
    finally:
        opened.close()


def require_as_many(trajectory: Trajectory, n_frames: int, kept: str) -> StructureBatch:
    """The last of the ``n_frames`` that ``kept`` has; RunRefused where the trajectory has fewer."""
    with closing(Opened(trajectory, first=n_frames - 1)) as opened:
        if (last := opened.first_frame) is not None:
            return last
    raise RunRefused(
        f"{trajectory.path} ends after {_complete_frames(trajectory)} frames, {kept} has "
        f"{n_frames}: not the trajectory this run was begun with"
    )


def _complete_frames(trajectory: Trajectory) -> int:
    n_frames = 0
    with closing(Opened(trajectory)) as opened, suppress(BadTrajectory):
        for chunk in opened:
            n_frames += len(chunk)
    return n_frames


def _has_absorber(trajectory: Trajectory, structures: StructureBatch, element: int) -> bool:
    sites = trajectory.sites(structures)
    if sites is None:
        return bool((structures.numbers == element).any())
    return bool(
        (structures.numbers[structures.offsets[sites.structure] + sites.atom] == element).any()
    )


def feed(
    opened: Opened,
    trajectory: Trajectory,
    producer: Producer,
    stop: threading.Event,
    after_chunk: Callable[[], None],
) -> bool:
    """Push chunk by chunk until the end (True) or until stopped (False).

    BadTrajectory after all good frames of a file that breaks off.
    """
    for chunk in opened:
        if stop.is_set():
            return False
        producer.push(chunk.structures, chunk.times_fs, trajectory.sites(chunk.structures))
        after_chunk()
    return not stop.is_set()
