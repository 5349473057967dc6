"""Frames on their way from a file to the producer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    return joined(
        [len(frame.numbers) for frame in frames],
        np.concatenate([frame.numbers for frame in frames]),
        np.concatenate([frame.positions for frame in frames]),
        [frame.cell for frame in frames],
        [frame.pbc for frame in frames],
        [frame.time_fs for frame in frames],
    )


def joined(
    sizes: Sequence[int],
    numbers: NDArray[np.uint8],
    positions: NDArray[np.floating],
    cells: Sequence[NDArray[np.float64] | None],
    pbc: Sequence[NDArray[np.bool_] | None],
    times_fs: Sequence[float],
) -> FrameChunk:
    """Make a chunk of frames whose atoms lie end to end; cells and pbc as in `ParsedFrame`."""
    periodic = any(flags is not None and flags.any() for flags in _distinct(pbc))
    structures = StructureBatch.from_arrays(
        numbers,
        positions,
        np.concatenate([[0], np.cumsum(sizes)]),
        _stacked(cells, np.zeros((3, 3))) if periodic else None,
        _stacked(pbc, np.zeros(3, dtype=np.bool_)) if periodic else None,
    )
    return FrameChunk(structures=structures, times_fs=np.array(times_fs))


def concatenated(chunks: Sequence[FrameChunk]) -> FrameChunk:
    """Join chunks that have times."""
    times = [chunk.times_fs for chunk in chunks if chunk.times_fs is not None]
    structures = StructureBatch.concatenate([chunk.structures for chunk in chunks])
    return FrameChunk(structures=structures, times_fs=np.concatenate(times))


Arrays = Sequence[NDArray[Any] | None]


def _distinct(arrays: Arrays) -> Arrays:
    """Drop repetitions of one and the same array."""
    return list({id(array): array for array in arrays}.values())


def _stacked(arrays: Arrays, absent: NDArray[Any]) -> NDArray[Any]:
    filled = [absent if array is None else array for array in arrays]
    if len(_distinct(filled)) == 1:  # as a rule: readers keep the cell of the frame before
        return np.broadcast_to(filled[0], (len(filled), *filled[0].shape))
    return np.array(filled)


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
