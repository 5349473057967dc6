"""What travels: frames, results, dead letters, and the records of runs and models.

All are frozen and checked once, where they enter. Indices count the frames of a run from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.codec import Array
from xas.errors import BadMessage, RunRefused
from xas.structure import Sites, StructureBatch

PREDICTED = 1
DEAD_LETTERED = 2
MAX_ATOMIC_NUMBER = 118
MAX_ENERGIES = 100_000
MAX_BLOCK_FRAMES = 2**16  # of which the writer makes rows at once, whatever is in them

_RUN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def check_run_name(name: str) -> str:
    """The name itself, or RunRefused."""
    if not _RUN_NAME.fullmatch(name):
        raise RunRefused(
            f"{name!r} cannot name a run: 1 to 64 letters, digits, '.', '_' or '-', no leading dot"
        )
    return name


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a producer asks for when it opens a run; the same for all its frames.

    ``selection`` says which frames of the source are taken, in the producer's own words.
    """

    model: str
    absorber: str | None = None
    priority: str = "live"
    time_units: str = "frame"
    title: str = ""
    sample: str = ""
    keep_structures: bool = True
    selection: str = ""

    def require_same(self, run: str, other: RunSpec) -> None:
        """RunRefused, naming what differs, where ``other`` asks for something else."""
        changed = [
            f"{name} {getattr(self, name)!r} (now {getattr(other, name)!r})"
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(other, name)
        ]
        if changed:
            raise RunRefused(
                f"run {run!r} was opened with {', '.join(changed)}: ask for the same, or take "
                "another name"
            )


class FrameBlock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Frames first, first + 1, ... of one run; one entry of the stream.

    sizes (n,) i4 atoms a frame; numbers u1, positions f4 (n_atoms, 3) angstrom; cells f8 (n, 3, 3),
    pbc b1 (n, 3); times f8 (n,) in the run's units; site_frame, site_atom i4: explicit absorbers,
    frames counted within the block. trace: the context of the push (W3C traceparent), where it is
    traced.
    """

    run: str
    first: int
    model: str
    absorber: str | None
    t_pushed: float
    sizes: Array
    numbers: Array
    positions: Array
    cells: Array | None = None
    pbc: Array | None = None
    times: Array | None = None
    site_frame: Array | None = None
    site_atom: Array | None = None
    trace: str = ""

    @property
    def n_frames(self) -> int:
        """Frames in the block."""
        return self.sizes.shape[0] if len(self.sizes.shape) == 1 else 0

    @classmethod
    def of(
        cls,
        structures: StructureBatch,
        *,
        run: str,
        first: int,
        model: str,
        absorber: str | None = None,
        t_pushed: float,
        times: NDArray[np.float64] | None = None,
        sites: Sites | None = None,
        trace: str = "",
    ) -> FrameBlock:
        """Wrap structures; arrays are views, copied once when encoded."""

        def opt(values: NDArray[Any] | None) -> Array | None:
            return None if values is None else Array.of(values)

        return cls(
            run=run,
            first=first,
            model=model,
            absorber=absorber,
            t_pushed=t_pushed,
            sizes=Array.of(np.diff(structures.offsets).astype("<i4")),
            numbers=Array.of(structures.numbers),
            positions=Array.of(structures.positions),
            cells=opt(structures.cells),
            pbc=opt(structures.pbc),
            times=opt(times),
            site_frame=None if sites is None else Array.of(sites.structure.astype("<i4")),
            site_atom=None if sites is None else Array.of(sites.atom.astype("<i4")),
            trace=trace,
        )

    def structures(self) -> StructureBatch:
        """The structures, as views; BadMessage where the arrays contradict each other."""
        return join_structures([self])

    def sites(self) -> Sites | None:
        """The explicit absorbers, if the producer named any; BadMessage where they do not exist."""
        return join_sites([self])

    def frame_times(self) -> NDArray[np.float64]:
        """Times in the run's units; the index where the producer gave none."""
        if self.times is None:
            return np.arange(self.first, self.first + self.n_frames, dtype=np.float64)
        return self.times.view("<f8", self.n_frames)

    def cut(self, offset: int) -> FrameBlock:
        """One frame of the block as a block of its own."""
        return self.part(offset, offset + 1)

    def part(self, start: int, end: int) -> FrameBlock:
        """Frames start .. end of the block as a block of their own."""
        sites = self.sites()
        if sites is not None:
            own = (sites.structure >= start) & (sites.structure < end)
            sites = Sites(sites.structure[own] - start, sites.atom[own])
        return FrameBlock.of(
            self.structures()[start:end],
            run=self.run,
            first=self.first + start,
            model=self.model,
            absorber=self.absorber,
            t_pushed=self.t_pushed,
            times=None if self.times is None else self.frame_times()[start:end],
            sites=sites,
            trace=self.trace,
        )


def join_structures(blocks: Sequence[FrameBlock]) -> StructureBatch:
    """The structures of blocks end to end, those of a single one as views.

    BadMessage where the arrays of a block contradict each other.
    """
    sizes = _column([b.sizes for b in blocks], "<i4")
    numbers = _column([b.numbers for b in blocks], "|u1")
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    ends = np.cumsum([b.n_frames for b in blocks])
    run = blocks[0].run
    if sizes.min(initial=0) < 0 or not all(b.n_frames for b in blocks):
        raise BadMessage(f"run {run!r}: a block of frames without valid sizes")
    if offsets[ends].tolist() != np.cumsum([b.numbers.shape[0] for b in blocks]).tolist():
        raise BadMessage(f"run {run!r}: sizes and atomic numbers disagree")
    if numbers.max(initial=0) > MAX_ATOMIC_NUMBER:
        raise BadMessage(f"run {run!r}: {numbers.max()} is no atomic number")
    for b in blocks:
        b.positions.check("<f4", b.numbers.shape[0], 3)
    cells, pbc = _join_cells(blocks)
    return StructureBatch(
        numbers=numbers,
        positions=_column([b.positions for b in blocks], "<f4", 3),
        offsets=offsets,
        cells=cells,
        pbc=pbc,
    )


def join_sites(blocks: Sequence[FrameBlock]) -> Sites | None:
    """The explicit absorbers of blocks of which all name some, frames counted through; or None."""
    frames = [b.site_frame for b in blocks if b.site_frame is not None]
    atoms = [b.site_atom for b in blocks if b.site_atom is not None]
    if len(frames) < len(blocks) or len(atoms) < len(blocks):
        return None
    run = blocks[0].run
    frame = _column(frames, "<i4").astype(np.int64)
    atom = _column(atoms, "<i4").astype(np.int64)
    counts = [f.shape[0] for f in frames]
    if counts != [a.shape[0] for a in atoms]:
        raise BadMessage(f"run {run!r}: as many frames as atoms belong to absorbers")
    sizes = _column([b.sizes for b in blocks], "<i4")
    lengths = np.repeat([b.n_frames for b in blocks], counts)
    known = bool(((frame >= 0) & (frame < lengths)).all())
    frame += np.repeat(np.cumsum([0, *(b.n_frames for b in blocks)])[:-1], counts)
    known = known and bool((np.diff(frame) >= 0).all())
    if not known or ((atom < 0) | (atom >= sizes[frame])).any():
        raise BadMessage(f"run {run!r}: absorbers that no frame of the block has")
    return Sites(frame, atom)


def join_times(blocks: Sequence[FrameBlock]) -> NDArray[np.float64]:
    """Times of blocks end to end, in the units of their run."""
    times = [b.frame_times() for b in blocks]
    return times[0] if len(times) == 1 else np.concatenate(times)


def _join_cells(
    blocks: Sequence[FrameBlock],
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Cells and periodicity; zeros for the blocks that have none, None where no block has any."""
    cells, pbc = [], []
    for b in blocks:
        cells.append(None if b.cells is None else b.cells.view("<f8", b.n_frames, 3, 3))
        pbc.append(None if b.pbc is None else b.pbc.view("|b1", b.n_frames, 3))
    if len(blocks) == 1:
        return cells[0], pbc[0]
    if all(c is None for c in cells):
        return None, None
    n = [b.n_frames for b in blocks]
    return (
        np.concatenate(
            [np.zeros((k, 3, 3)) if c is None else c for c, k in zip(cells, n, strict=True)]
        ),
        np.concatenate(
            [np.zeros((k, 3), np.bool_) if p is None else p for p, k in zip(pbc, n, strict=True)]
        ),
    )


def _column(arrays: Sequence[Array], dtype: str, *row: int) -> NDArray[Any]:
    """Arrays of rows of one shape end to end; a single one as a view."""
    if len(arrays) == 1:
        return arrays[0].view(dtype, -1, *row)
    for array in arrays:
        array.check(dtype, -1, *row)
    return np.frombuffer(b"".join([a.data for a in arrays]), dtype=dtype).reshape(-1, *row)


class ResultBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What became of consecutive frames of one run.

    status u1 (n,); t_pushed f8 (n,) seconds since 1970; site_frame, site_atom i4 (n_sites,), frames
    counted within the block and rising; intensity, errors f4 (n_sites, n_energy); novelty f4
    (n_sites,). ``model`` names the record of the bundle that predicted (the SHA-256 of its
    manifest), empty where none did; ``challenger`` the one that predicted the frames of ``taken``
    b1 (n,) instead. The frames themselves stay where the producer put them; ``ours`` says whether
    they can be read.
    """

    run: str
    first: int
    n_frames: int
    model: str
    t_predicted: float
    ours: bool
    status: Array
    t_pushed: Array
    site_frame: Array
    site_atom: Array
    intensity: Array
    errors: Array
    novelty: Array
    reasons: dict[int, str]
    challenger: str = ""
    taken: Array | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A frame (or an undecodable entry of ``n_frames``) that could not be predicted."""

    run: str
    first: int
    n_frames: int
    reason: str
    error: str
    attempts: int
    worker: str
    model: str
    t_failed: float
    original: memoryview


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer must know of a model: published by the worker that uses it first.

    Where a model has no errors or no novelty of its own, what stands in its results means nothing.
    """

    name: str
    version: int
    sha256: str
    element: str
    edge: str
    descriptor: str
    provider: str
    energy: Array
    has_errors: bool = True
    has_novelty: bool = True

    @property
    def output(self) -> tuple[str, str, bytes]:
        """Element, edge and energy grid: what all models of one run have in common."""
        return self.element, self.edge, bytes(self.energy.data)

    @property
    def energies(self) -> NDArray[np.float64]:
        """(n_energy,) float64, eV; BadMessage where they are no grid of a spectrum."""
        energy: NDArray[np.float64] = self.energy.view("<f8", -1)
        rising = len(energy) > 1 and bool((np.diff(energy) > 0.0).all())
        if not (rising and np.isfinite(energy).all() and len(energy) <= MAX_ENERGIES):
            raise BadMessage(f"model {self.name[:80]!r}: {len(energy)} energies that are no grid")
        return energy
