"""A range of frames in one immutable file, and how several become one.

A segment holds the columns of ``layout.py`` under the paths of the main file, the energies, and a
JSON state. Its name carries the writer's epoch and a sequence number and is never used again:
``e000003-000017-000000000-000001006.h5`` is frames 0 to 1005, the 17th file of epoch 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.result_file.datasets import LIBVER, create, put, put_rows, reading, take_rows
from stream.result_file.draft import Draft
from stream.result_file.header import (
    Model,
    RunHeader,
    models_from_json,
    models_to_json,
)
from stream.result_file.layout import (
    ENERGY,
    FORMAT,
    Column,
    arrays,
    columns,
    get_state,
    is_written,
    put_state,
)
from stream.result_file.rows import Rows
from xas.errors import BadResultFile

COPY_BYTES = 1 << 20  # copied at a time: fits into the caches, and bounds what a merge holds

_NAME = re.compile(r"e(\d{6,})-(\d{6,})-(\d{9,})-(\d{9,})\.h5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Frames first:end in a file of ``size`` bytes.

    level counts the merges its rows went through; first_atom is the number of atoms in the
    frames before it.
    """

    path: Path
    epoch: int
    seq: int
    first: int
    end: int
    level: int
    first_atom: int
    atoms: int
    sites: int
    dead: int
    size: int

    def rows(self, column: Column) -> int:
        """Rows of a column in this file."""
        frames = self.end - self.first
        counts = {"frame": frames, "bound": frames + 1, "site": self.sites, "atom": self.atoms}
        return self.dead if column.axis == "dead" else counts[column.axis]

    @property
    def end_atom(self) -> int:
        """Atoms in the frames up to its end."""
        return self.first_atom + self.atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What else a segment or main file says about its run; kind: segment, growing, finished."""

    header: RunHeader
    models: list[Model]
    kind: str
    sealed: bool
    interrupted: bool
    dropped: int
    end_time: float | None


def name_of(epoch: int, seq: int, first: int, end: int) -> str:
    """The file name of a segment."""
    return f"e{epoch:06d}-{seq:06d}-{first:09d}-{end:09d}.h5"


def parse_name(name: str) -> tuple[int, int, int, int] | None:
    """Epoch, sequence number, first, end; None for another file."""
    match = _NAME.fullmatch(name)
    return tuple(int(group) for group in match.groups()) if match else None  # type: ignore[return-value]


def state_of(
    segment: Segment, header: RunHeader, models: list[Model], **about: Any
) -> dict[str, Any]:
    """The JSON state of a file."""
    counts = {name: getattr(segment, name) for name in _STORED}
    return {
        "format": FORMAT,
        "kind": "segment",
        **counts,
        **about,
        "header": header.to_json(),
        "models": models_to_json(models),
    }


_STORED = ("epoch", "seq", "first", "end", "level", "first_atom", "atoms", "sites", "dead")


def read_state(path: Path) -> tuple[Segment, Contents]:
    """Open a segment or a main file and see that it is whole.

    Raises OSError, KeyError, TypeError or ValueError where it is not one of ours, or not whole;
    BadResultFile where it is of a later version.
    """
    with reading(path) as file:
        return parse_state(file, path)


def parse_state(file: h5py.File, path: Path) -> tuple[Segment, Contents]:
    """``read_state`` of a file that is open already."""
    state = get_state(file)
    if state["format"] > FORMAT:
        raise BadResultFile(f"{path} was written by a later edgestream; update this one")
    segment = Segment(
        path=path, size=path.stat().st_size, **{name: int(state[name]) for name in _STORED}
    )
    header = RunHeader.from_json(state["header"], file[ENERGY][()])
    _check_shapes(file, segment, header)
    return segment, Contents(
        header=header,
        models=models_from_json(state["models"]),
        kind=state["kind"],
        sealed=state.get("sealed", False),
        interrupted=state.get("interrupted", False),
        dropped=state.get("dropped", 0),
        end_time=state.get("end_time"),
    )


def _check_shapes(file: h5py.File, segment: Segment, header: RunHeader) -> None:
    for column in columns(header.keep_structures):
        rows = segment.rows(column)
        if is_written(column, rows):
            found = file[column.path].shape
            if found != column.shape(rows, header.n_energy):
                raise ValueError(f"{column.path} has shape {found}")


def write_rows(
    draft: Draft, segment: Segment, rows: Rows, header: RunHeader, models: list[Model]
) -> None:
    """Fill a draft with a block of rows."""
    contents = arrays(rows, segment.first_atom, header.keep_structures)
    with h5py.File(draft, "w", libver=LIBVER) as file:
        put(file, ENERGY, header.energy)
        for column in columns(header.keep_structures):
            if is_written(column, segment.rows(column)):
                put(file, column.path, contents[column.path].astype(column.dtype, copy=False))
        put_state(file, state_of(segment, header, models))


def merge(
    draft: Draft,
    whole: Segment,
    parts: Sequence[Segment],
    header: RunHeader,
    models: list[Model],
) -> None:
    """Fill a draft with the rows of several segments that follow each other."""
    with h5py.File(draft, "w", libver=LIBVER) as file:
        put(file, ENERGY, header.energy)
        copy_columns(file, whole, parts, header)
        put_state(file, state_of(whole, header, models))


def copy_columns(
    file: h5py.File, whole: Segment, parts: Sequence[Segment], header: RunHeader
) -> None:
    """Copy every column of the parts, end to end, a few megabytes at a time."""
    with ExitStack() as stack:
        sources = [(part, stack.enter_context(reading(part.path))) for part in parts]
        for column in columns(header.keep_structures):
            rows = whole.rows(column)
            if is_written(column, rows):
                shape = column.shape(rows, header.n_energy)
                dataset, at = create(file, column.path, shape, column.dtype), 0
                for block in _coalesced(_blocks(column, sources, header)):
                    put_rows(dataset, at, block)
                    at += len(block)


def span(parts: Sequence[Segment], **changes: Any) -> Segment:
    """The segment that parts make together; ``changes`` must give path, epoch, seq and level."""
    first, last = parts[0], parts[-1]
    return Segment(
        first=first.first,
        end=last.end,
        first_atom=first.first_atom,
        atoms=last.end_atom - first.first_atom,
        sites=sum(part.sites for part in parts),
        dead=sum(part.dead for part in parts),
        size=sum(part.size for part in parts),
        **changes,
    )


def used_rows(column: Column, segment: Segment, is_last: bool) -> int:
    """Rows that a segment gives to the whole: its last bound is the first of the next."""
    return segment.rows(column) - (column.axis == "bound" and not is_last)


def read_blocks(
    segments: Sequence[Segment], header: RunHeader, paths: Mapping[str, Column]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Some columns of segments, a few megabytes at a time."""
    step = max(1, COPY_BYTES // (8 * max(1, header.n_energy)))
    for segment in segments:
        with reading(segment.path) as file:
            n = segment.end - segment.first
            for low in range(0, n, step):
                high = min(n, low + step)
                yield {
                    name: take_rows(file, column.path, column.dtype, low, high)
                    for name, column in paths.items()
                }


def _blocks(
    column: Column, sources: Sequence[tuple[Segment, h5py.File]], header: RunHeader
) -> Iterator[NDArray[Any]]:
    row_bytes = column.dtype.itemsize * int(np.prod(column.shape(1, header.n_energy)))
    step = max(1, COPY_BYTES // max(1, row_bytes))
    for number, (segment, source) in enumerate(sources, start=1):
        n = used_rows(column, segment, number == len(sources))
        if not is_written(column, segment.rows(column)):
            continue
        for low in range(0, n, step):
            yield take_rows(source, column.path, column.dtype, low, min(n, low + step))


def _coalesced(blocks: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Fewer, larger blocks: many segments are small."""
    waiting: list[NDArray[Any]] = []
    size = 0
    for block in blocks:
        waiting.append(block)
        size += block.nbytes
        if size >= COPY_BYTES:
            yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting)
