"""The checksums of a finished file whose dead letters get their rows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.result_file.draft import Draft
from stream.result_file.header import RunHeader
from stream.result_file.layout import CHECKED, STRETCH_ROWS, STRETCH_SUMS, columns
from stream.result_file.rows import Rows
from stream.result_file.salvage import salvage
from stream.result_file.segment import Segment
from stream.result_file.snapshot import Part, pin
from stream.result_file.stretches import stretch_arrays

_OFFSETS = CHECKED.index("entry/structures/offsets")
_SPECTRA = ("intensity", "intensity_errors", "intensity_normalised")


@dataclass(frozen=True, kw_only=True, eq=False)
class ChecksumTable:
    """Which rows of a file have checksums together, and the checksums.

    rows (n, 4) int64, sums (n, len(CHECKED)) uint64, as in the file; offsets: those of structures
    as they are there, None where it has none.
    """

    main: Segment
    header: RunHeader
    rows: NDArray[np.int64]
    sums: NDArray[np.uint64]
    offsets: NDArray[np.int64] | None

    @classmethod
    def of(cls, main: Segment, header: RunHeader) -> Self | None:
        """That of a file; None where it was written without."""
        if not main.stretches:
            return None
        with _opened(main, header) as part:
            return cls(
                main=main,
                header=header,
                rows=part.column(STRETCH_ROWS),
                sums=part.column(STRETCH_SUMS),
                offsets=part.column("entry/structures/offsets") if header.keep_structures else None,
            )

    @property
    def frames(self) -> NDArray[np.int64]:
        """(n + 1,): where stretches begin and end."""
        return np.concatenate([[0], np.cumsum(self.rows[:, 0])])

    def touched(self, new: Sequence[Rows], header: RunHeader) -> list[Rows]:
        """Whole stretches with new rows in the place of old ones.

        ValueError where the old ones are not what was written: a new checksum would hide it.
        """
        groups: dict[int, list[Rows]] = {}
        for rows in new:
            for part in self._cut(rows):
                groups.setdefault(self._number(part.first_index), []).append(part)
        with _opened(self.main, self.header) as source:
            stretches = list(source.stretches())
            return [
                _spliced(_whole_rows(source, stretches[i], header), group)
                for i, group in sorted(groups.items())
            ]

    def amend(
        self,
        new: Sequence[Mapping[str, NDArray[Any]]],
        bounds: NDArray[np.int64],
        header: RunHeader,
    ) -> None:
        """Take the columns of touched stretches, and the offsets of all structures."""
        made = columns(header.keep_structures)
        if header.n_energy != self.header.n_energy:
            self._note_nothing(header)
        for contents in new:
            found = stretch_arrays(made, contents)
            number = self._number(int(contents["entry/frame_index"][0]))
            self.rows[number], self.sums[number] = found[STRETCH_ROWS][0], found[STRETCH_SUMS][0]
        if self.offsets is not None:
            self._note_offsets(self.offsets, bounds, {self._number(int(c["entry/frame_index"][0]))
                                                      for c in new})  # fmt: skip

    def place(self, draft: Draft, whole: Segment) -> None:
        """The table belongs to its places."""
        for path, values in ((STRETCH_ROWS, self.rows), (STRETCH_SUMS, self.sums)):
            draft.place(whole.places[path], values.reshape(-1).view(np.uint8).data)

    def _number(self, frame: int) -> int:
        return int(np.searchsorted(self.frames, frame, side="right")) - 1

    def _cut(self, rows: Rows) -> list[Rows]:
        """Rows cut where stretches end."""
        ends = [f for f in self.frames.tolist() if rows.first_index < f < rows.end_index]
        edges = [rows.first_index, *ends, rows.end_index]
        return [rows[a - rows.first_index : b - rows.first_index] for a, b in pairwise(edges)]

    def _note_nothing(self, header: RunHeader) -> None:
        """A file that had no energies has spectra of NaN now."""
        for number, frames in enumerate(self.rows[:, 0].tolist()):
            known = xxh3_64_intdigest(np.full((frames, header.n_energy), np.nan, "<f4").tobytes())
            for name in _SPECTRA:
                self.sums[number, CHECKED.index(f"entry/{name}")] = known

    def _note_offsets(
        self, old: NDArray[np.int64], bounds: NDArray[np.int64], touched: set[int]
    ) -> None:
        """Atoms that came move all that follow; what did not hold before goes on not to hold."""
        for number, (low, high) in enumerate(pairwise(self.frames.tolist())):
            was = xxh3_64_intdigest(old[low:high].tobytes())
            if number in touched or was == int(self.sums[number, _OFFSETS]):
                now = bounds[low:high].astype("<i8").tobytes()
                self.sums[number, _OFFSETS] = xxh3_64_intdigest(now)


@contextlib.contextmanager
def _opened(main: Segment, header: RunHeader) -> Any:
    with contextlib.ExitStack() as opened:
        source = int(pin(main.path, opened).name)
        yield Part(name=main.path.name, segment=main, header=header, source=source)


def _whole_rows(part: Part, stretch: Any, header: RunHeader) -> Rows:
    rows, lost = salvage(part, stretch)
    if lost:
        low, high = stretch.rows["frame"]
        raise ValueError(
            f"frames {low} to {high - 1} of {part.name} do not match their checksums; "
            f"edgestream runs verify {part.name}"
        )
    if rows.n_energy == header.n_energy:
        return rows
    nothing = np.full((len(rows), header.n_energy), np.nan, dtype=np.float32)
    return replace(rows, intensity=nothing, errors=nothing, site_intensity=nothing[:0],
                   site_errors=nothing[:0])  # fmt: skip


def _spliced(old: Rows, new: Sequence[Rows]) -> Rows:
    parts, at = [], old.first_index
    for rows in new:
        parts += [old[at - old.first_index : rows.first_index - old.first_index], rows]
        at = rows.end_index
    parts.append(old[at - old.first_index :])
    return Rows.concatenate([part for part in parts if len(part)])
