"""A run's files held open as they were at one moment, whatever its writer does meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream.result_file.average import Average
from stream.result_file.datasets import reading
from stream.result_file.header import RunHeader
from stream.result_file.layout import (
    STRETCH_ROWS,
    STRETCH_SUMS,
    Column,
    columns,
    get_state,
)
from stream.result_file.raw import read_rows
from stream.result_file.reader import read_average, sources_of
from stream.result_file.segment import Contents, Segment, parse_state, read_state
from stream.result_file.stretches import Bounds, Stretch, divide, stretches
from xas.errors import BadResultFile

NOT_OURS = (OSError, KeyError, TypeError, ValueError, RuntimeError, BadResultFile)
_TRIES = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A file with rows of its own, open; ``name`` is for people, segment.path for the system."""

    name: str
    segment: Segment
    header: RunHeader
    source: int

    @cached_property
    def _columns(self) -> dict[str, Column]:
        return {column.path: column for column in columns(self.header.keep_structures)}

    def stretches(self) -> Iterator[Stretch]:
        """All rows, some hundred frames at a time; ValueError where the table is damaged."""
        bounds, sums = self._bounds()
        segment = self.segment
        expected = [segment.end - segment.first, segment.sites, segment.atoms, segment.dead]
        if (np.diff(bounds, axis=0) < 0).any() or bounds[-1].tolist() != expected:
            raise ValueError("its table of checksums does not fit its rows")
        yield from stretches(bounds, sums)

    def _bounds(self) -> tuple[Bounds, NDArray[np.uint64] | None]:
        if self.segment.stretches:
            counts = self.column(STRETCH_ROWS)
            return np.cumsum(np.vstack([np.zeros_like(counts[:1]), counts]), axis=0), self.column(
                STRETCH_SUMS
            )
        # a file of before: what says which rows belong together is read at once
        names = ("frame_index", "sites/frame_index", "dead_letters/frame_index")
        paths = ["entry/" + name for name in (*names, "structures/offsets")]
        return divide({path: self.column(path) for path in paths if self.has(path)}), None

    def has(self, path: str) -> bool:
        """Whether the file has rows of its own in a column."""
        return path in self.segment.places and path in self._columns

    def column(self, path: str) -> NDArray[Any]:
        """A whole column."""
        column = self._columns[path]
        return self._read(column, 0, self.segment.rows(column))

    def read(self, stretch: Stretch) -> dict[str, NDArray[Any]]:
        """The columns of a stretch, by path; those that cannot be read are not among them."""
        found = {}
        for column in self._columns.values():
            if column.axis != "stretch":
                with contextlib.suppress(OSError, KeyError):
                    found[column.path] = self._read(column, *stretch.bounds(column))
        return found

    def damaged(self, stretch: Stretch, values: Mapping[str, NDArray[Any]]) -> list[str]:
        """The columns whose rows are not what was written, or cannot be read."""
        return [
            column.path
            for column in self._columns.values()
            if column.axis != "stretch"
            and not (column.path in values and stretch.holds(column, values[column.path]))
        ]

    def _read(self, column: Column, low: int, high: int) -> NDArray[Any]:
        if low == high:
            return np.empty(column.shape(0, self.header.n_energy), column.dtype)
        return read_rows(self.source, self.segment, column, self.header, low, high)


@dataclass(kw_only=True, eq=False)
class Snapshot:
    """A main file and the files it names, as they were at one moment; made by ``take``.

    whole    what the main file says that there is
    parts    the files with the rows, in order
    broken   segments that are missing or do not open, and why
    """

    path: Path
    whole: Segment
    contents: Contents
    average: Average
    state: Mapping[str, Any]
    parts: list[Part] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    pinned: Path
    _open: contextlib.ExitStack

    @classmethod
    def take(cls, path: Path) -> Self:
        """Open everything; a writer that merges meanwhile is not in the way.

        BadResultFile where the file is missing or not a whole one of ours.
        """
        for left in reversed(range(_TRIES)):
            with contextlib.ExitStack() as opened:
                found = cls._try(path, opened)
                if left and found.broken and found.is_outdated():
                    continue
                found._open = opened.pop_all()
                return found
        raise AssertionError("unreachable")

    @classmethod
    def _try(cls, path: Path, opened: contextlib.ExitStack) -> Self:
        try:
            pinned = pin(path, opened)
            with reading(pinned) as file:
                whole, contents = parse_state(file, pinned)
                sources = sources_of(file, path.resolve().parent)
                found = cls(
                    path=path,
                    whole=whole,
                    contents=contents,
                    average=read_average(file["entry/average"]),
                    state=get_state(file),
                    pinned=pinned,
                    _open=opened,
                )
        except FileNotFoundError as error:
            raise BadResultFile(f"{path}: no such file") from error
        except NOT_OURS as error:
            raise BadResultFile(f"{path} does not open as a result file: {error}") from error
        if contents.kind == "finished":
            found.parts = [found._part(path.name, whole)]
        for source in sources:
            found._add(source, opened)
        return found

    def _add(self, source: Path, opened: contextlib.ExitStack) -> None:
        try:
            pinned = pin(source, opened)
            segment, _ = read_state(pinned)
        except FileNotFoundError:
            self.broken.append((source.name, "is missing"))
        except NOT_OURS as error:
            self.broken.append((source.name, f"does not open: {error}"))
        else:
            self.parts.append(self._part(source.name, segment))

    def _part(self, name: str, segment: Segment) -> Part:
        source = int(segment.path.name)
        return Part(name=name, segment=segment, header=self.contents.header, source=source)

    def is_outdated(self) -> bool:
        """Whether another main file has taken the place of this one."""
        try:
            return not self.path.samefile(self.pinned)
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def pin(path: Path, opened: contextlib.ExitStack) -> Path:
    """A path to a file that stays valid until ``opened`` is closed, also where it is removed."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return Path(f"/proc/self/fd/{fd}")
