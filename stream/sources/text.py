"""Text trajectories: raw frames in, chunks out, whatever the format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.sources.frames import MAX_FRAMES, FrameChunk, Selection, concatenated
from stream.sources.lines import LineReader, Malformed, RawFrame, fault
from stream.sources.symbols import UnknownSymbol
from xas.errors import BadTrajectory


class TextFormat(Protocol):
    """A text format: where frames end, and what they say."""

    def delimit(self, lines: LineReader, index: int) -> RawFrame:
        """Take one frame; raise NeedMore where it is not all there, Malformed for a bad header."""
        ...

    def parse(self, frame: RawFrame) -> FrameChunk:
        """Read one frame, slowly; raise Malformed or UnknownSymbol."""
        ...

    def parse_many(self, frames: list[RawFrame], /) -> FrameChunk | None:
        """Read alike frames in one go; None, or any error of `parse`, where that does not work."""
        ...


def chunks(
    frames: Iterable[RawFrame | None],
    text: TextFormat,
    selection: Selection,
    name: str,
    block_atoms: int,
) -> Iterator[FrameChunk]:
    """Yield the selected frames in chunks; a None among the frames hands out what is there."""
    held: list[RawFrame] = []
    n_atoms = 0
    end: BadTrajectory | None = None
    for frame in _until_fault(frames):
        if isinstance(frame, BadTrajectory):
            end = frame
        elif frame is not None and frame.index in selection:
            held.append(frame)
            n_atoms += frame.n_atoms
        full = len(held) >= MAX_FRAMES or n_atoms >= block_atoms
        if held and (full or frame is None):
            yield from _parsed(held, text, name)
            held, n_atoms = [], 0
    if held:
        yield from _parsed(held, text, name)
    if end is not None:
        raise end


def _until_fault(
    frames: Iterable[RawFrame | None],
) -> Iterator[RawFrame | BadTrajectory | None]:
    try:
        yield from frames
    except BadTrajectory as error:
        yield error


def _parsed(held: list[RawFrame], text: TextFormat, name: str) -> Iterator[FrameChunk]:
    try:
        chunk = text.parse_many(held)
    except (Malformed, UnknownSymbol, ValueError):
        chunk = None  # the slow way finds the frame and the line
    if chunk is not None:
        yield chunk
        return
    end: BadTrajectory | None = None
    good: list[FrameChunk] = []
    for frame in held:
        try:
            good.append(text.parse(frame))
        except Malformed as error:
            line = frame.line + error.line
            end = BadTrajectory(fault(name, frame.index, line, str(error)))
            break
        except UnknownSymbol as error:
            end = BadTrajectory(fault(name, frame.index, frame.line, str(error)))
            break
    if good:
        yield concatenated(good)
    if end is not None:
        raise end


def table_of(frame: RawFrame, n_columns: int) -> list[list[str]]:
    """Split the body to its columns; Malformed names the first line with fewer."""
    rows = [line.split() for line in frame.body.decode("latin-1").split("\n")[: frame.n_atoms]]
    for number, row in enumerate(rows):
        if len(row) < n_columns:
            raise Malformed(
                f"expected {n_columns} columns, found '{' '.join(row)[:60]}'",
                frame.body_line + number,
            )
    return rows


def floats_of(frame: RawFrame, rows: list[list[str]], columns: slice) -> NDArray[np.float64]:
    """Read number columns, (n_atoms, n_columns) float64; Malformed names the first bad line."""
    try:
        values = [[float(token) for token in row[columns]] for row in rows]
    except ValueError:
        raise _bad_number(frame, rows, columns) from None
    return np.array(values, dtype=np.float64).reshape(len(rows), columns.stop - columns.start)


def _bad_number(frame: RawFrame, rows: list[list[str]], columns: slice) -> Malformed:
    for number, row in enumerate(rows):
        for token in row[columns]:
            try:
                float(token)
            except ValueError:
                return Malformed(f"'{token[:40]}' is not a number", frame.body_line + number)
    raise AssertionError("called for a bad number")
