"""Finished frames of one run, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas.structure import StructureBatch

ABSENT = 0
PREDICTED = 1
DEAD_LETTERED = 2

_BUNDLED_FRAMES = 4096
_BUNDLED_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """A contiguous block of finished frames: n of them, from first_index on.

    frame_time   (n,) float64, in the time unit of the run
    status       (n,) uint8, PREDICTED or DEAD_LETTERED
    intensity    (n, n_energy) float32, mean over the absorbers; NaN where dead-lettered
    errors       (n, n_energy) float32, one standard deviation; NaN where dead-lettered
    edge_step    (n,) float32, on the scale of intensity
    novelty      (n,) float32
    model_index  (n,) int16, into the models of the run; -1 where dead-lettered
    t_pushed     (n,) float64, Unix seconds
    t_predicted  (n,) float64, Unix seconds
    site_frame   (n_sites,) int64, index of the frame in the run (not in the block), rising
    site_atom    (n_sites,) int32, atom in its frame, from 0
    site_intensity, site_errors  (n_sites, n_energy) float32; the very arrays of the frames where
                 each frame has one site: then they are stored once
    structures   the n structures, or None where the run does not keep them
    reasons      (index of a dead-lettered frame in the run, why), rising

    Raises ValueError where the lengths do not agree.
    """

    first_index: int
    frame_time: NDArray[np.float64]
    status: NDArray[np.uint8]
    intensity: NDArray[np.float32]
    errors: NDArray[np.float32]
    edge_step: NDArray[np.float32]
    novelty: NDArray[np.float32]
    model_index: NDArray[np.int16]
    t_pushed: NDArray[np.float64]
    t_predicted: NDArray[np.float64]
    site_frame: NDArray[np.int64]
    site_atom: NDArray[np.int32]
    site_intensity: NDArray[np.float32]
    site_errors: NDArray[np.float32]
    structures: StructureBatch | None = None
    reasons: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        self._check_frames()
        self._check_sites()
        if any(not self.first_index <= index < self.end_index for index, _ in self.reasons):
            raise ValueError(f"a reason for a frame outside {self.first_index}:{self.end_index}")

    def __len__(self) -> int:
        return len(self.status)

    @property
    def end_index(self) -> int:
        """The index after the last frame."""
        return self.first_index + len(self)

    @property
    def n_energy(self) -> int:
        """Energies of a spectrum."""
        return int(self.intensity.shape[1])

    @property
    def one_site_each(self) -> bool:
        """Whether the spectra of the sites are those of the frames."""
        return self.site_intensity is self.intensity and self.site_errors is self.errors

    def __getitem__(self, part: slice) -> Rows:
        """Frames part.start to part.stop of the block (positions in it), as views."""
        low, high, step = part.indices(len(self))
        if step != 1:
            raise ValueError("only contiguous parts of Rows can be taken")
        high = max(low, high)
        first, end = self.first_index + low, self.first_index + high
        sites = slice(*np.searchsorted(self.site_frame, [first, end]))
        return Rows(
            first_index=first,
            **self._fields(
                lambda name: getattr(self, name)[low:high],
                lambda name: getattr(self, name)[sites],
                self.one_site_each,
            ),
            structures=None if self.structures is None else self.structures[low:high],
            reasons=tuple(reason for reason in self.reasons if first <= reason[0] < end),
        )

    @classmethod
    def concatenate(cls, blocks: Sequence[Rows]) -> Rows:
        """Join blocks that follow each other; ValueError where there is a gap or an overlap."""
        if len(blocks) == 1:
            return blocks[0]
        for before, after in pairwise(blocks):
            if after.first_index != before.end_index:
                raise ValueError(
                    f"rows {after.first_index}.. do not follow rows ..{before.end_index}"
                )
        kept = [block.structures for block in blocks if block.structures is not None]
        if kept and len(kept) != len(blocks):
            raise ValueError("some rows have structures, some have none")

        def join(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(block, name) for block in blocks])

        return cls(
            first_index=blocks[0].first_index,
            **cls._fields(join, join, all(block.one_site_each for block in blocks)),
            structures=StructureBatch.concatenate(kept) if kept else None,
            reasons=tuple(reason for block in blocks for reason in block.reasons),
        )

    @staticmethod
    def _fields(
        of_frames: Callable[[str], NDArray[Any]],
        of_sites: Callable[[str], NDArray[Any]],
        one_site_each: bool,
    ) -> dict[str, Any]:
        """All arrays by name; the spectra of sites once where they are those of the frames."""
        found = {name: of_frames(name) for name in _FRAME_FIELDS}
        found |= {name: of_sites(name) for name in ("site_frame", "site_atom")}
        twins = {"site_intensity": "intensity", "site_errors": "errors"}
        return found | {s: found[f] if one_site_each else of_sites(s) for s, f in twins.items()}

    def _check_frames(self) -> None:
        n = len(self.status)
        for name in _FRAME_FIELDS:
            if len(getattr(self, name)) != n:
                raise ValueError(f"{n} frames, but {len(getattr(self, name))} rows of {name}")
        if self.intensity.ndim != 2 or self.errors.shape != self.intensity.shape:
            raise ValueError("intensity and errors must both be (n, n_energy)")
        if self.structures is not None and len(self.structures) != n:
            raise ValueError(f"{n} frames, but {len(self.structures)} structures")

    def _check_sites(self) -> None:
        n = len(self.site_frame)
        for name in ("site_intensity", "site_errors"):
            if getattr(self, name).shape != (n, self.n_energy):
                raise ValueError(f"{name} must be ({n}, {self.n_energy})")
        if len(self.site_atom) != n:
            raise ValueError(f"{n} sites, but {len(self.site_atom)} atoms")
        if n == 0:
            return
        if (np.diff(self.site_frame) < 0).any():
            raise ValueError("sites must be ordered by frame")
        if self.site_frame[0] < self.first_index or self.site_frame[-1] >= self.end_index:
            raise ValueError(f"a site of a frame outside {self.first_index}:{self.end_index}")


_FRAME_FIELDS = (
    "frame_time",
    "status",
    "intensity",
    "errors",
    "edge_step",
    "novelty",
    "model_index",
    "t_pushed",
    "t_predicted",
)


def bundled(blocks: Iterable[Rows]) -> Iterator[Rows]:
    """Blocks that follow each other joined to commits of some megabytes."""
    held: list[Rows] = []
    frames = size = 0
    for rows in blocks:
        held.append(rows)
        frames += len(rows)
        size += 2 * (rows.intensity.nbytes + rows.site_intensity.nbytes)
        if frames >= _BUNDLED_FRAMES or size >= _BUNDLED_BYTES:
            yield Rows.concatenate(held)
            held, frames, size = [], 0, 0
    if held:
        yield Rows.concatenate(held)
