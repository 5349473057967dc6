"""What can still be read of a run's files, whatever cut or changed them."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.result_file.header import Model, RunHeader
from stream.result_file.rows import ABSENT, Rows
from stream.result_file.segment import Contents, Segment, parse_name, parse_state
from stream.result_file.snapshot import NOT_OURS, Part, pin
from stream.result_file.stretches import Stretch
from xas.structure import StructureBatch

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LENGTH_AT = 28  # of the superblock of version 2 and 3: where the file was to end
_DERIVED = "entry/intensity_normalised"


class Lengthened(io.RawIOBase):
    """A file that was cut, as the library would have it: with zeros to where it was to end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at = file, 0
        begin = file.read(_LENGTH_AT + 8)
        wanted = int.from_bytes(begin[_LENGTH_AT:], "little") if _is_whole(begin) else 0
        self._size = max(wanted, os.fstat(file.fileno()).st_size)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the new position."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what is there, zeros beyond."""
        view = memoryview(buffer).cast("B")
        data = os.pread(self._file.fileno(), len(view), self._at)
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        self._at += len(view)
        return len(view)


def _is_whole(superblock: bytes) -> bool:
    return len(superblock) == _LENGTH_AT + 8 and superblock.startswith(_SIGNATURE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Remains:
    """Files of a run that still say what they hold; made by ``look``.

    parts    those with rows, the best first; contents: what they say of the run, as long
    end      frames that there were, as far as anything tells
    lost     files that say nothing any more, and why
    """

    contents: Contents
    parts: list[tuple[Part, Contents]] = field(default_factory=list)
    end: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)


def look(paths: list[Path], opened: contextlib.ExitStack) -> Remains | None:
    """Open files, cut or not; None where none of them says what it holds."""
    found: list[tuple[Part | None, Segment, Contents]] = []
    lost = []
    for path in paths:
        try:
            found.append(_open(path, opened))
        except NOT_OURS as error:
            lost.append((path.name, str(error)))
    if not found:
        return None
    newest = max(found, key=lambda one: (one[2].kind != "segment", one[1].end, one[1].epoch))
    named = [name[3] for path in paths if (name := parse_name(path.with_suffix(".h5").name))]
    return Remains(
        contents=newest[2],
        parts=[(part, contents) for part, _, contents in found if part is not None],
        end=max([*named, *(segment.end for _, segment, _ in found)]),
        lost=lost,
    )


def _open(path: Path, opened: contextlib.ExitStack) -> tuple[Part | None, Segment, Contents]:
    pinned = pin(path, opened)
    with pinned.open("rb", buffering=0) as raw, h5py.File(Lengthened(raw), "r") as file:
        segment, contents = parse_state(file, pinned)
    if contents.kind == "growing":  # its rows are in other files
        return None, segment, contents
    part = Part(name=path.name, segment=segment, header=contents.header, source=int(pinned.name))
    return part, segment, contents


def salvage(part: Part, stretch: Stretch) -> tuple[Rows, set[str]]:
    """The rows of a stretch as far as they hold, and what does not: "spectra", "structures".

    What was computed from other columns is not missed. Spectra that do not hold become absent rows,
    structures empty ones.
    """
    values = part.read(stretch)
    damaged = set(part.damaged(stretch, values)) - {_DERIVED}
    structures = {path for path in damaged if path.startswith("entry/structures/")}
    low, high = stretch.rows["frame"]
    first, n = part.segment.first + low, high - low
    kept = _structures(values) if part.header.keep_structures and not structures else None
    if part.header.keep_structures and kept is None:
        kept = no_structures(n)
    lost = {"structures"} if structures else set()
    if damaged - structures:
        return replace(absent(first, n, part.header), structures=kept), lost | {"spectra"}
    return _rows(values, first, kept, part.segment.one_site_each), lost


def absent(first: int, n: int, header: RunHeader) -> Rows:
    """Rows of frames of which nothing is left: status 0, NaN."""
    nothing = np.full(n, np.nan)
    spectra = np.full((n, header.n_energy), np.nan, dtype=np.float32)
    no_sites = np.zeros((0, header.n_energy), dtype=np.float32)
    return Rows(
        first_index=first,
        frame_time=nothing,
        status=np.full(n, ABSENT, dtype=np.uint8),
        intensity=spectra,
        errors=spectra,
        edge_step=nothing.astype(np.float32),
        novelty=nothing.astype(np.float32),
        model_index=np.full(n, -1, dtype=np.int16),
        t_pushed=nothing,
        t_predicted=nothing,
        site_frame=np.zeros(0, dtype=np.int64),
        site_atom=np.zeros(0, dtype=np.int32),
        site_intensity=no_sites,
        site_errors=no_sites,
        structures=no_structures(n) if header.keep_structures else None,
    )


def no_structures(n: int) -> StructureBatch:
    """n structures without an atom."""
    return StructureBatch.from_arrays([], np.zeros((0, 3)), np.zeros(n + 1))


def _rows(
    values: Mapping[str, NDArray[Any]],
    first: int,
    structures: StructureBatch | None,
    one_site_each: bool,
) -> Rows:
    found = {path.removeprefix("entry/"): array for path, array in values.items()}
    intensity, errors = found["intensity"], found["intensity_errors"]
    dead = found.get("dead_letters/frame_index", np.zeros(0, dtype=np.int64)).tolist()
    reasons = [reason.decode() for reason in found.get("dead_letters/reason", np.zeros(0)).tolist()]
    return Rows(
        first_index=first,
        frame_time=found["frame_time"],
        status=found["status"],
        intensity=intensity,
        errors=errors,
        edge_step=found["edge_step"],
        novelty=found["novelty"],
        model_index=found["model_index"],
        t_pushed=found["t_pushed"],
        t_predicted=found["t_predicted"],
        site_frame=found["sites/frame_index"],
        site_atom=found["sites/atom_index"],
        site_intensity=intensity if one_site_each else found["sites/intensity"],
        site_errors=errors if one_site_each else found["sites/intensity_errors"],
        structures=structures,
        reasons=tuple(zip(dead, reasons, strict=True)),
    )


def _structures(values: Mapping[str, NDArray[Any]]) -> StructureBatch | None:
    offsets = values["entry/structures/offsets"]
    numbers = values["entry/structures/numbers"]
    sizes = np.diff(offsets)
    if (sizes < 0).any() or sizes.sum() != len(numbers):
        return None
    cells, pbc = values["entry/structures/cell"], values["entry/structures/pbc"]
    has_cell = bool(cells.any() or pbc.any())
    return StructureBatch.from_arrays(
        numbers,
        values["entry/structures/positions"],
        offsets - offsets[0],
        cells if has_cell else None,
        pbc if has_cell else None,
    )


def with_models(rows: Rows, models: list[Model], add: Any) -> Rows:
    """Rows whose models are counted in another list; ``add`` tells where a model is in it."""
    there = np.array([add(m.name, m.version, m.sha256) for m in models] + [-1], dtype=np.int16)
    return replace(rows, model_index=there[rows.model_index])
