"""Frames on their way from a file to the producer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadTrajectory
from xas.structure import StructureBatch

MAX_FRAMES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameChunk:
    """Consecutive selected frames.

    structures  the frames
    times_fs    (n,) float64, femtoseconds; NaN where one frame of a timed file says nothing;
                None: the file has no time axis and none was given
    """

    structures: StructureBatch
    times_fs: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.structures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFrame:
    """One frame as a reader found it: positions in angstrom, cell None where not periodic."""

    numbers: NDArray[np.uint8]
    positions: NDArray[np.floating]
    cell: NDArray[np.float64] | None = None
    pbc: NDArray[np.bool_] | None = None
    time_fs: float = np.nan


@dataclass(frozen=True, slots=True)
class Selection:
    """Every so-manieth frame of a file, without the first few of those."""

    every: int = 1
    first: int = 0

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and index >= self.start and index % self.every == 0

    @property
    def start(self) -> int:
        """The first selected frame of the file."""
        return self.every * self.first

    def indices(self, n_frames: int) -> range:
        """The selected frames of a file of that many."""
        return range(self.start, n_frames, self.every)


def chunk_of(frames: Sequence[ParsedFrame]) -> FrameChunk:
    """Join frames; a cell is kept where its frame is periodic in some direction."""
    periodic = any(frame.pbc is not None and frame.pbc.any() for frame in frames)
    structures = StructureBatch.from_arrays(
        np.concatenate([frame.numbers for frame in frames]),
        np.concatenate([frame.positions for frame in frames]),
        np.cumsum([0] + [len(frame.numbers) for frame in frames]),
        np.array([_cell(frame) for frame in frames]) if periodic else None,
        np.array([_pbc(frame) for frame in frames]) if periodic else None,
    )
    return FrameChunk(structures=structures, times_fs=np.array([f.time_fs for f in frames]))


def _cell(frame: ParsedFrame) -> NDArray[np.float64]:
    return np.zeros((3, 3)) if frame.cell is None else frame.cell


def _pbc(frame: ParsedFrame) -> NDArray[np.bool_]:
    return np.zeros(3, dtype=np.bool_) if frame.pbc is None else frame.pbc


def chunks_of(frames: Iterable[ParsedFrame], block_atoms: int) -> Iterator[FrameChunk]:
    """Gather frames to chunks of at most MAX_FRAMES frames or about `block_atoms` atoms.

    Where the frames end in BadTrajectory, those before the fault are handed out first.
    """
    held: list[ParsedFrame] = []
    n_atoms = 0
    fault: BadTrajectory | None = None
    source = iter(frames)
    while fault is None:
        try:
            frame = next(source)
        except StopIteration:
            break
        except BadTrajectory as error:
            fault = error
            break
        held.append(frame)
        n_atoms += len(frame.numbers)
        if len(held) >= MAX_FRAMES or n_atoms >= block_atoms:
            yield chunk_of(held)
            held, n_atoms = [], 0
    if held:
        yield chunk_of(held)
    if fault is not None:
        raise fault


def with_numbers(chunk: FrameChunk, numbers: NDArray[np.uint8], name: str) -> FrameChunk:
    """Give every frame the elements of a topology."""
    sizes = np.diff(chunk.structures.offsets)
    if (sizes != len(numbers)).any():
        raise BadTrajectory(
            f"{name}: frames of {sizes[sizes != len(numbers)][0]} atoms, but the topology has"
            f" {len(numbers)}; give the topology of this trajectory"
        )
    return replace(
        chunk, structures=replace(chunk.structures, numbers=np.tile(numbers, len(chunk)))
    )
