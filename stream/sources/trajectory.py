"""Open a trajectory, whatever its format, and read it chunk by chunk.

    for chunk in open_trajectory("md.extxyz", every=10):
        push(chunk.structures, chunk.times_fs)

Never more than one chunk, one block of text and one frame are held. Text formats are read by this
project's own parsers, because they must say exactly where a truncated file ends and which frame is
damaged; binary formats by chemfiles and ASE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.sources.ase_frames import ase_frames
from stream.sources.ase_trajectory import open_ase_trajectory
from stream.sources.bytes_in import ByteSource, FileBytes, PipeBytes, unpacked_file, unpacked_size
from stream.sources.chemfiles_frames import open_frames
from stream.sources.formats import NEEDS_TOPOLOGY, Kind, kind_of
from stream.sources.frames import FrameChunk, Selection, chunks_of, with_numbers
from stream.sources.gro import GroFormat
from stream.sources.lammps import LammpsFormat
from stream.sources.lines import LineReader, Malformed, NeedMore, raw_frames
from stream.sources.pdb import PdbFormat
from stream.sources.text import TextFormat, chunks
from stream.sources.xdatcar import XdatcarFormat
from stream.sources.xyz import XyzFormat
from xas.errors import BadTrajectory

BLOCK_ATOMS = 20_000
_TextFormat = XyzFormat | LammpsFormat | XdatcarFormat | GroFormat | PdbFormat
_TEXT: dict[Kind, type[_TextFormat]] = {
    Kind.XYZ: XyzFormat,
    Kind.LAMMPS: LammpsFormat,
    Kind.XDATCAR: XdatcarFormat,
    Kind.GRO: GroFormat,
    Kind.PDB: PdbFormat,
}


class TrajectorySource(Iterator[FrameChunk]):
    """An iterator of chunks of the selected frames; also a context manager.

    A file that is truncated or damaged raises BadTrajectory after the chunks with all the frames
    before that place. `n_frames_hint` is the number of frames that are likely to come: exact for
    binary formats, from the size of the first frame for text, None where nobody knows.
    """

    def __init__(
        self,
        name: str,
        chunks: Iterator[FrameChunk],
        *,
        n_frames_hint: int | None,
        resources: ExitStack,
        timestep_fs: float | None = None,
        selection: Selection = Selection(),  # noqa: B008 - frozen
        numbers: NDArray[np.uint8] | None = None,
    ) -> None:
        self.name = name
        self.n_frames_hint = n_frames_hint
        self._chunks = chunks
        self._resources = resources
        self._timestep_fs = timestep_fs
        self._selection = selection
        self._numbers = numbers
        self._n_read = 0
        self._has_times: bool | None = None

    def __next__(self) -> FrameChunk:
        try:
            chunk = next(self._chunks)
            if self._numbers is not None:
                chunk = with_numbers(chunk, self._numbers, self.name)
        except StopIteration:
            self.close()
            if self._n_read == 0 and self._selection.first == 0:
                raise BadTrajectory(f"{self.name} holds no frame; give a file with one") from None
            raise
        except BaseException:
            self.close()
            raise
        chunk = replace(chunk, times_fs=self._times(chunk))
        self._n_read += len(chunk)
        return chunk

    def _times(self, chunk: FrameChunk) -> NDArray[np.float64] | None:
        """The file's own times, else the given time step, else None."""
        if self._has_times is None:
            self._has_times = chunk.times_fs is not None and bool(np.isfinite(chunk.times_fs[0]))
        if self._has_times:
            return chunk.times_fs
        if self._timestep_fs is None:
            return None
        first = self._selection.first + self._n_read
        indices = np.arange(first, first + len(chunk)) * self._selection.every
        return indices.astype(np.float64) * self._timestep_fs

    def close(self) -> None:
        """Close the file and remove what was unpacked; harmless when done twice."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_trajectory(
    path: str | Path,
    *,
    every: int = 1,
    timestep_fs: float | None = None,
    topology: str | Path | None = None,
    types: Mapping[int, str] | None = None,
    first: int = 0,
    block_atoms: int = BLOCK_ATOMS,
) -> TrajectorySource:
    """Open a trajectory or structure file, or `-`: extxyz on standard input.

    every        take frames 0, every, 2 every, ... of the file
    timestep_fs  time between frames of the file, where it holds no times: frame k has k * timestep
    topology     a structure file with the elements, for DCD, XTC and others that hold none
    types        element symbols of the integer types that LAMMPS writes
    first        selected frames to leave out at the beginning, when a run is resumed
    block_atoms  a chunk ends with the frame that reaches this many atoms, or with 64 frames

    BadTrajectory for a file that is absent, empty, of an unknown format, or needs an option.
    """
    if every < 1 or first < 0 or block_atoms < 1:
        raise BadTrajectory(f"{path}: every must be at least 1, first at least 0")
    selection = Selection(every, first)
    resources = ExitStack()
    try:
        numbers = None if topology is None else topology_numbers(Path(topology))
        opened, total = _open(path, selection, types, numbers is not None, block_atoms, resources)
    except BaseException:
        resources.close()
        raise
    return TrajectorySource(
        str(path),
        opened,
        n_frames_hint=None if total is None else len(selection.indices(total)),
        resources=resources,
        timestep_fs=timestep_fs,
        selection=selection,
        numbers=numbers,
    )


def topology_numbers(path: Path) -> NDArray[np.uint8]:
    """Return the atomic numbers of a structure file, (n_atoms,) uint8."""
    with open_trajectory(path) as source:
        for chunk in source:
            numbers = chunk.structures[0:1].numbers
            if len(numbers) and (numbers == 0).all():
                break
            return numbers
    raise BadTrajectory(f"{path}: the topology names no elements; give an xyz or PDB file")


def _open(
    path: str | Path,
    selection: Selection,
    types: Mapping[int, str] | None,
    has_topology: bool,
    block_atoms: int,
    resources: ExitStack,
) -> tuple[Iterator[FrameChunk], int | None]:
    """Return the chunks and, where known, the number of frames in the file."""
    if str(path) == "-":
        xyz = XyzFormat(types, lenient=has_topology)
        return _text_chunks(PipeBytes(), xyz, selection, "standard input", block_atoms), None
    path = Path(path)
    kind = kind_of(path)
    if kind in _TEXT:
        total = _estimate(path, _TEXT[kind](lenient=True))
        source = FileBytes(path)
        resources.callback(source.close)
        text = _TEXT[kind](types, lenient=has_topology)
        return _text_chunks(source, text, selection, str(path), block_atoms), total
    return _library_chunks(path, kind, selection, has_topology, block_atoms, resources)


def _text_chunks(
    source: ByteSource, text: TextFormat, selection: Selection, name: str, block_atoms: int
) -> Iterator[FrameChunk]:
    frames = raw_frames(LineReader(source), text.delimit, name)
    return chunks(frames, text, selection, name, block_atoms)


def _library_chunks(
    path: Path,
    kind: Kind,
    selection: Selection,
    has_topology: bool,
    block_atoms: int,
    resources: ExitStack,
) -> tuple[Iterator[FrameChunk], int | None]:
    plain = resources.enter_context(unpacked_file(path))
    if kind is Kind.ASE:
        return chunks_of(ase_frames(plain, str(path), selection), block_atoms), None
    if plain.suffix.lower() in NEEDS_TOPOLOGY and not has_topology:
        raise BadTrajectory(
            f"{path} holds no elements; give a structure file of the same atoms with --topology"
        )
    opener = open_ase_trajectory if kind is Kind.ASE_TRAJECTORY else open_frames
    file = opener(plain, str(path), resources)
    return chunks_of(file.frames(selection), block_atoms), file.n_frames


def _estimate(path: Path, text: TextFormat) -> int | None:
    """Guess the number of frames from the size of the file and of the frames in its first block."""
    size = unpacked_size(path)
    source = FileBytes(path)
    lines = LineReader(source)
    n_frames = n_bytes = 0
    try:
        lines.feed()
        while True:
            text.delimit(lines, n_frames)
            n_frames, n_bytes = n_frames + 1, lines.consumed_bytes
    except (NeedMore, Malformed, OSError):
        pass
    finally:
        source.close()
    if size is None or n_frames == 0:
        return None
    return max(n_frames, round(size / n_bytes * n_frames))
