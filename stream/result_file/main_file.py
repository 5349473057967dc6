"""The main file of a run: while it grows a view of its segments, at the end a copy of them."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from stream.result_file import raw
from stream.result_file.datasets import LIBVER, Piece, create, create_virtual, link, put
from stream.result_file.draft import Draft
from stream.result_file.header import RunHeader
from stream.result_file.layout import (
    ENERGY,
    Column,
    Summary,
    annotate,
    columns,
    describe,
    is_written,
    put_state,
)
from stream.result_file.segment import Segment, make_columns, place_columns, state_of


def write_growing(draft: Draft, whole: Segment, parts: Sequence[Segment], summary: Summary) -> None:
    """Fill a draft with virtual datasets over the segments, which lie in a folder beside it."""
    with h5py.File(draft, "w", libver=LIBVER) as file:
        _begin(file, whole, summary, "growing")
        _link_columns(file, whole, parts, summary.header)
        annotate(file, summary)


def write_finished(
    draft: Draft, whole: Segment, parts: Sequence[Segment], summary: Summary
) -> None:
    """Fill a draft with a copy of all rows; needs no other file."""
    raw.copy(draft, lay_out(draft, whole, summary), parts, summary.header)


def lay_out(draft: Draft, whole: Segment, summary: Summary) -> Segment:
    """All but the rows of a file that needs no other; the segment with the places for them."""
    with h5py.File(draft, "w", libver=LIBVER) as file:
        _begin(file, whole, summary, "finished")
        made = make_columns(file, whole, summary.header, later=True)
        annotate(file, summary)
        file.flush()  # the library looks for places of its names only now
        return place_columns(made, whole)


def _begin(file: h5py.File, whole: Segment, summary: Summary, kind: str) -> None:
    """What describes the rows comes before them: a file that is cut later still tells of them."""
    put(file, ENERGY, summary.header.energy)
    state = state_of(
        whole,
        summary.header,
        list(summary.models),
        kind=kind,
        sealed=summary.sealed,
        interrupted=summary.interrupted,
        dropped=summary.dropped,
        end_time=summary.end_time,
    )
    put_state(file, state)
    describe(file, summary)


def _link_columns(
    file: h5py.File, whole: Segment, parts: Sequence[Segment], header: RunHeader
) -> None:
    for column in columns(header.keep_structures):
        rows = whole.rows(column)
        shape = column.shape(rows, header.n_energy)
        if column.twin and whole.one_site_each:
            link(file, column.path, column.twin)
        elif rows and 0 not in shape:
            create_virtual(file, column.path, shape, column.dtype, _pieces(column, parts))
        elif is_written(column, rows):
            create(file, column.path, shape, column.dtype)


def _pieces(column: Column, parts: Sequence[Segment]) -> list[Piece]:
    pieces, at = [], 0
    for number, part in enumerate(parts, start=1):
        used = raw.used_rows(column, part, number == len(parts))
        if used:
            name = f"{part.path.parent.name}/{part.path.name}"
            pieces.append(Piece(name, part.rows(column), used, at))
        at += used
    return pieces
