"""Segments made: of a block of rows, or of several segments that follow each other."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from stream.result_file import raw
from stream.result_file.datasets import LIBVER, put
from stream.result_file.draft import Draft
from stream.result_file.header import Model, RunHeader
from stream.result_file.layout import ENERGY, arrays, put_state
from stream.result_file.rows import Rows
from stream.result_file.segment import Segment, make_columns, place_columns, state_of


def write_rows(
    draft: Draft, segment: Segment, rows: Rows, header: RunHeader, models: list[Model]
) -> Segment:
    """Fill a draft with a block of rows."""
    segment = _prepare(draft, segment, header, models, is_small=True)
    contents = arrays(rows, segment.first_atom, header.keep_structures)
    raw.fill(draft, segment, contents, header)
    return segment


def merge(
    draft: Draft,
    whole: Segment,
    parts: Sequence[Segment],
    header: RunHeader,
    models: list[Model],
) -> Segment:
    """Fill a draft with the rows of several segments."""
    whole = _prepare(draft, whole, header, models, is_small=False)
    raw.copy(draft, whole, parts, header)
    return whole


def _prepare(
    draft: Draft, segment: Segment, header: RunHeader, models: list[Model], *, is_small: bool
) -> Segment:
    """All but the rows; the segment with the places for them."""
    with h5py.File(draft, "w", libver=LIBVER) as file:
        put(file, ENERGY, header.energy)
        put_state(file, state_of(segment, header, models))
        made = make_columns(file, segment, header, later=not is_small)
        if not is_small:
            file.flush()  # the library looks for places of its names only now
        return place_columns(made, segment)
