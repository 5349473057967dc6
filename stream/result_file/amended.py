"""A finished file with spectra in the place of tombstones: written aside, and renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.result_file import raw
from stream.result_file.average import Average, RunningAverage
from stream.result_file.checksum_table import ChecksumTable
from stream.result_file.datasets import reading
from stream.result_file.draft import CHUNK, Draft
from stream.result_file.header import Model, RunHeader
from stream.result_file.layout import Column, Summary, arrays, columns
from stream.result_file.leftovers import remove_empty
from stream.result_file.main_file import lay_out
from stream.result_file.rows import Rows
from stream.result_file.segment import Contents, Segment, read_state
from stream.result_file.survey import segments_path
from stream.storage import storage

Piece = Segment | Rows


def amend(
    out: Path,
    run: str,
    rows: Sequence[Rows],
    header: RunHeader,
    models: Sequence[Model],
    *,
    check: Callable[[], None],
) -> None:
    """Give dead-lettered frames their rows, in the finished file of a run, or change nothing.

    ``rows``: of frames with status 2, by index, on the energies of ``header``, which are those of
    the file unless that has none. ``check`` is called last: an exception of it leaves the file as
    it is. Readers that have the old file open go on with it. OSError, KeyError, TypeError or
    ValueError where the file is not whole; StorageFailed.
    """
    path, place = out / f"{run}.h5", segments_path(out, run)
    main, contents = read_state(path)
    cutter = _Cutter.of(main, contents)
    table = ChecksumTable.of(main, contents.header)
    touched = rows if table is None else table.touched(rows, header)
    pieces = cutter.pieces(touched)
    whole = _whole(main, pieces)
    bounds = _bounds(cutter.offsets, rows)
    with storage(path):
        place.mkdir(exist_ok=True)
    with storage(path), Draft(place, path) as draft:
        summary = _summary(header, contents, models, _average(pieces, header, contents))
        whole = lay_out(draft, whole, summary)
        new = _contents(pieces, header)
        _fill(draft, whole, pieces, new, bounds, header)
        if table is not None:
            table.amend(list(new.values()), bounds, header)
            table.place(draft, whole)
        check()
        draft.publish()
    remove_empty(place)


def status_of(path: Path) -> NDArray[np.uint8]:
    """(n_frames,) of a finished file."""
    with reading(path) as file:
        status: NDArray[np.uint8] = file["entry/status"][()]
    return status


@dataclass(frozen=True, kw_only=True)
class _Cutter:
    """Cuts the rows of a file, frame by frame, without reading more than what says where."""

    main: Segment
    header: RunHeader
    sites: NDArray[np.int64]
    dead: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, main: Segment, contents: Contents) -> _Cutter:
        with reading(main.path) as file:
            entry = file["entry"]
            keeps = contents.header.keep_structures
            return cls(
                main=main,
                header=contents.header,
                sites=entry["sites/frame_index"][()],
                dead=entry["dead_letters/frame_index"][()] if main.dead else np.zeros(0, "i8"),
                offsets=entry["structures/offsets"][()] if keeps else np.zeros(main.end + 1, "i8"),
            )

    def pieces(self, rows: Sequence[Rows]) -> list[Piece]:
        """The file from its first frame to its last, with the rows between."""
        found: list[Piece] = []
        at = 0
        for new in rows:
            found += [self._cut(at, new.first_index), new]
            at = new.end_index
        return [*found, self._cut(at, self.main.end)]

    def _cut(self, first: int, end: int) -> Segment:
        site, dead = (np.searchsorted(a, [first, end]).tolist() for a in (self.sites, self.dead))
        atom = self.offsets[[first, end]].tolist()
        starts = {"frame": first, "bound": first, "site": site[0], "dead": dead[0], "atom": atom[0]}
        places = {
            c.path: self.main.places[c.path] + starts[c.axis] * c.row_bytes(self.header.n_energy)
            for c in columns(self.header.keep_structures)
            if c.path in self.main.places and c.axis != "stretch"
        }
        return replace(
            self.main,
            first=first,
            end=end,
            first_atom=atom[0],
            atoms=atom[1] - atom[0],
            sites=site[1] - site[0],
            dead=dead[1] - dead[0],
            places=places,
        )


def _whole(main: Segment, pieces: Sequence[Piece]) -> Segment:
    counts = [_counts(piece) for piece in pieces]
    sites, dead, atoms = (sum(column) for column in zip(*counts, strict=True))
    return replace(main, sites=sites, dead=dead, atoms=atoms, one_site_each=False, places={})


def _counts(piece: Piece) -> tuple[int, int, int]:
    """Sites, dead letters, atoms."""
    if isinstance(piece, Segment):
        return piece.sites, piece.dead, piece.atoms
    n_atoms = piece.structures.n_atoms if piece.structures is not None else 0
    return len(piece.site_frame), len(piece.reasons), n_atoms


def _bounds(offsets: NDArray[np.int64], rows: Sequence[Rows]) -> NDArray[np.int64]:
    """Where the atoms of each frame begin, after frames that nobody could read have some."""
    sizes = np.diff(offsets)
    for new in rows:
        if new.structures is not None:
            sizes[new.first_index : new.end_index] = np.diff(new.structures.offsets)
    return np.concatenate([[0], np.cumsum(sizes)])


def _average(pieces: Sequence[Piece], header: RunHeader, contents: Contents) -> Average:
    mean = RunningAverage(header.energy)
    for piece in pieces:
        if isinstance(piece, Rows):
            mean.add(piece.status, piece.intensity, piece.errors)
        elif contents.header.n_energy:
            names = ("status", "intensity", "intensity_errors")
            for status, intensity, errors in raw.read_spectra([piece], header, names):
                mean.add(status, intensity, errors)
    return mean.average()


def _summary(
    header: RunHeader, contents: Contents, models: Sequence[Model], average: Average
) -> Summary:
    return Summary(
        header=header,
        models=models,
        average=average,
        end_time=contents.end_time,
        interrupted=contents.interrupted,
        sealed=contents.sealed,
        dropped=contents.dropped,
    )


def _contents(pieces: Sequence[Piece], header: RunHeader) -> dict[int, dict[str, NDArray[Any]]]:
    """The columns of new rows as they go to the disk, by piece."""
    found = {}
    for piece in (p for p in pieces if isinstance(p, Rows)):
        made = arrays(piece, 0, header.keep_structures)
        found[id(piece)] = {
            c.path: np.ascontiguousarray(made[c.path], dtype=c.dtype)
            for c in columns(header.keep_structures)
            if c.path in made
        }
    return found


def _fill(
    draft: Draft,
    whole: Segment,
    pieces: Sequence[Piece],
    new: Mapping[int, dict[str, NDArray[Any]]],
    bounds: NDArray[np.int64],
    header: RunHeader,
) -> None:
    for column in columns(header.keep_structures):
        if column.path not in whole.places or column.axis == "stretch":
            continue
        at = whole.places[column.path]
        if column.axis == "bound":
            draft.place(at, _data(bounds, column))
            continue
        for piece in pieces:
            if isinstance(piece, Segment):
                at += _copy(draft, at, piece, column, header.n_energy)
            else:
                data = _data(new[id(piece)][column.path], column)
                draft.place(at, data)
                at += len(data)


def _data(values: NDArray[Any], column: Column) -> memoryview:
    return np.ascontiguousarray(values, dtype=column.dtype).reshape(-1).view(np.uint8).data


def _copy(draft: Draft, at: int, piece: Segment, column: Column, n_energy: int) -> int:
    """A piece's rows of a column, NaN where its file has no energies; how many bytes."""
    size = column.row_bytes(n_energy) * piece.rows(column)
    if column.path in piece.places:
        draft.place_range(at, piece.path, piece.places[column.path], size)
        return size
    if not size:
        return 0
    nothing = np.full(CHUNK // column.dtype.itemsize, np.nan, column.dtype).view(np.uint8).data
    for start in range(0, size, CHUNK):
        draft.place(at + start, nothing[: min(CHUNK, size - start)])
    return size
