"""A range of frames in one immutable file, and how several become one.

A segment holds the columns of ``layout.py`` under the paths of the main file, the energies, and a
JSON state. Its name carries the writer's epoch and a sequence number and is never used again:
``e000003-000017-000000000-000001006.h5`` is frames 0 to 1005, the 17th file of epoch 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
from xxhash import xxh3_64_intdigest

from stream.result_file.datasets import create, link, place, reading
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
    columns,
    get_state,
    is_written,
)
from xas.errors import BadResultFile

_ALL = columns(keep_structures=True)
_NAME = re.compile(r"e(\d{6,})-(\d{6,})-(\d{9,})-(\d{9,})\.h5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Frames first:end in a file of ``size`` bytes.

    level          counts the merges its rows went through
    first_atom     the number of atoms in the frames before it
    one_site_each  the spectra of sites are those of the frames, and stored once
    stretches      rows that have checksums together (stretches.py); 0 where they have none
    places         where the rows of each column begin in the file, bytes; by path, if it has any
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
    stretches: int = 0
    size: int = 0
    one_site_each: bool = False
    places: Mapping[str, int] = field(default_factory=dict)

    def rows(self, column: Column) -> int:
        """Rows of a column in this file."""
        frames = self.end - self.first
        counts = {"frame": frames, "bound": frames + 1, "site": self.sites, "atom": self.atoms}
        counts |= {"dead": self.dead, "stretch": self.stretches}
        return counts[column.axis]

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
    counts = {name: getattr(segment, name) for name in _STORED + _LATER}
    return {
        "format": FORMAT,
        "kind": "segment",
        **counts,
        **about,
        "energy_xxh3": xxh3_64_intdigest(header.energy.tobytes()),
        "header": header.to_json(),
        "models": models_to_json(models),
    }


_STORED = ("epoch", "seq", "first", "end", "level", "first_atom", "atoms", "sites", "dead")
_LATER = ("stretches",)  # files of before have none


def read_state(path: Path) -> tuple[Segment, Contents]:
    """Open a segment or a main file and see that it is whole.

    Raises OSError, KeyError, TypeError or ValueError where it is not one of ours, or not whole;
    BadResultFile where it is of a later version.
    """
    with reading(path) as file:
        return parse_state(file, path)


def require_known_format(file: h5py.File, path: Path) -> None:
    """BadResultFile for a file of a later edgestream."""
    if get_state(file)["format"] > FORMAT:
        raise BadResultFile(f"{path} was written by a later edgestream; update this one")


def parse_state(file: h5py.File, path: Path) -> tuple[Segment, Contents]:
    """``read_state`` of a file that is open already."""
    state = get_state(file)
    require_known_format(file, path)
    counts: dict[str, Any] = {name: int(state[name]) for name in _STORED}
    counts |= {name: int(state.get(name, 0)) for name in _LATER}
    if min(counts.values()) < 0 or max(counts.values()) >= 2**62:
        raise ValueError("counts that are none")
    segment = Segment(path=path, size=path.stat().st_size, **counts)
    header = RunHeader.from_json(state["header"], file[ENERGY][()])
    places = _find_columns(file, segment, header)
    twins = [(places.get(c.path), places.get(c.twin)) for c in _ALL if c.twin]
    same = all(site is not None and site == frame for site, frame in twins)
    return replace(segment, places=places, one_site_each=same), Contents(
        header=header,
        models=models_from_json(state["models"]),
        kind=state["kind"],
        sealed=state.get("sealed", False),
        interrupted=state.get("interrupted", False),
        dropped=state.get("dropped", 0),
        end_time=state.get("end_time"),
    )


def _find_columns(file: h5py.File, segment: Segment, header: RunHeader) -> dict[str, int]:
    """See that every column has its shape; the places of those that are not virtual."""
    places = {}
    for column in columns(header.keep_structures):
        rows = segment.rows(column)
        if is_written(column, rows):
            dataset = h5py.h5d.open(file.id, column.path.encode())
            if dataset.shape != column.shape(rows, header.n_energy):
                raise ValueError(f"{column.path} has shape {dataset.shape}")
            if (at := dataset.get_offset()) is not None:
                places[column.path] = at
    return places


def make_columns(
    file: h5py.File, segment: Segment, header: RunHeader, *, later: bool = False
) -> dict[str, Any]:
    """Make the datasets of every column, by path; ``later``: without places yet, 2 ms dearer."""
    made: dict[str, Any] = {}
    for column in columns(header.keep_structures):
        rows = segment.rows(column)
        if column.twin and segment.one_site_each:
            link(file, column.path, column.twin)
            made[column.path] = made[column.twin]
        elif is_written(column, rows):
            shape = column.shape(rows, header.n_energy)
            made[column.path] = create(file, column.path, shape, column.dtype, later=later)
    return made


def place_columns(made: Mapping[str, Any], segment: Segment) -> Segment:
    """Find every column its place, in a file that has all else; the segment with the places."""
    found = {path: place(dataset) for path, dataset in made.items()}
    return replace(segment, places={path: at for path, at in found.items() if at is not None})


def _sum_or_none(counts: Sequence[int]) -> int:
    """The sum, but 0 where one is 0: checksums of some rows only would belong to no rows."""
    return sum(counts) if all(counts) else 0


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
        stretches=_sum_or_none([part.stretches for part in parts]),
        size=sum(part.size for part in parts),
        one_site_each=all(part.one_site_each for part in parts),
        **changes,
    )
