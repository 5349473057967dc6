"""Lines of a byte source, many at a time, and the frames that they delimit.

A frame is a slice between two line ends, which C counts: nothing is done for each line in Python.
At most one frame and one block are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stream.sources.bytes_in import ByteSource
from stream.sources.columns import behind_lines
from xas.errors import BadTrajectory

BLOCK_BYTES = 1 << 20
MAX_ATOMS = 50_000_000
MAX_LINE_BYTES = 16 << 20


class NeedMore(Exception):
    """The buffer ends before the lines that were asked for."""


class NoMoreFrames(Exception):
    """What is left of the source holds no frame, and is as it should be."""


class Malformed(Exception):
    """The text is not what the format says; `line` counts from the start of the frame, from 0."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class RawFrame:
    """The bytes of one frame.

    index   which frame of the file, from 0
    line    its first line in the file, from 1
    head    what the format keeps of the header
    body    one line an atom
    body_line  lines from the frame's first one to the body's
    is_free    words in free columns: a last line without its end can be compared with that above
    """

    index: int
    line: int
    n_atoms: int
    head: Any
    body: bytes
    body_line: int
    is_free: bool = True


class LineReader:
    """A cursor over the lines of a source."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._data = b""
        self._at = 0
        self._appetite = BLOCK_BYTES
        self.line = 1
        """The cursor's line in the file, from 1."""
        self.ended = False
        self.unterminated = False

    @property
    def last_line(self) -> int:
        """The last line known, from 1."""
        return max(1, self.line + self._data.count(b"\n", self._at) - 1)

    @property
    def consumed_bytes(self) -> int:
        """Bytes before the cursor in the buffer."""
        return self._at

    def take(self, n_lines: int) -> bytes:
        """Return the next lines, ends included, or raise NeedMore and stay."""
        start = self._at
        end = behind_lines(self._data, start, n_lines)
        if end < 0:
            self._require_text()
            raise NeedMore
        self._at = end
        self.line += n_lines
        return self._data[start:end]

    def take_through(self, word: bytes) -> bytes:
        """Return all lines up to the first that begins so, or raise NeedMore and stay."""
        found = self._data.find(b"\n" + word, self._at - 1 if self._at else 0)
        if self._data.startswith(word, self._at):
            found = self._at
        end = self._data.find(b"\n", found + 1) if found >= 0 else -1
        if end < 0:
            self._require_text()
            raise NeedMore
        return self._taken(end + 1)

    def take_rest(self) -> bytes:
        """Return all that is left of the source, or raise NeedMore where more may come."""
        if not self.ended:
            raise NeedMore
        return self._taken(len(self._data))

    def _taken(self, end: int) -> bytes:
        text = self._data[self._at : end]
        self._at = end
        self.line += text.count(b"\n")
        return text

    def mark(self) -> tuple[int, int]:
        """Where the cursor stands, for `back`; good until the next `feed`."""
        return self._at, self.line

    def back(self, mark: tuple[int, int]) -> None:
        """Return to a mark."""
        self._at, self.line = mark

    def _require_text(self) -> None:
        held = len(self._data) - self._at
        if held > MAX_LINE_BYTES and self._data.find(b"\n", self._at) < 0:
            raise Malformed("no line end in 16 MiB; this is not a text file")

    @property
    def damage(self) -> str:
        """Why the end may not be the real one; empty where it is."""
        return self._source.damage

    def is_last(self) -> bool:
        """Whether the cursor stands behind the last line of the source, which has no line end."""
        return self.unterminated and self._at == len(self._data)

    def ready(self) -> bool:
        """Whether `feed` would not wait."""
        return self.ended or self._source.ready()

    def feed(self) -> None:
        """Forget what lies before the cursor and read another block; at the end, set `ended`."""
        rest = self._data[self._at :]
        block = self._source.read(self._appetite)
        # A frame larger than the buffer makes the blocks grow, so that joining them stays linear.
        self._appetite = max(BLOCK_BYTES, len(rest))
        self.ended = not block
        self.unterminated = self.ended and not rest.endswith(b"\n") and rest != b""
        self._data = rest + (b"\n" if self.unterminated else block)
        self._at = 0

    def rest_is_blank(self) -> bool:
        """Whether nothing but white space follows the cursor in the buffer."""
        return not self._data[self._at :].strip()


def raw_frames(
    lines: LineReader, delimit: Callable[[LineReader, int], RawFrame], name: str
) -> Iterator[RawFrame | None]:
    """Yield each complete frame; None where the next one has not arrived yet.

    A source that ends inside a frame, or a frame whose header is malformed, raises BadTrajectory
    after the frames before it were yielded.
    """
    index = 0
    while True:
        start = lines.mark()
        try:
            frame = delimit(lines, index)
        except NeedMore:
            lines.back(start)
            if lines.ended:
                if lines.rest_is_blank() and not lines.damage:
                    return
                raise BadTrajectory(truncation(name, index, lines.last_line)) from None
            if not lines.ready():
                yield None
            lines.feed()
            continue
        except NoMoreFrames:
            return
        except Malformed as error:
            lines.back(start)
            line = lines.line + error.line
            if lines.unterminated and line == lines.last_line:
                raise BadTrajectory(truncation(name, index, line)) from None
            raise BadTrajectory(fault(name, index, line, str(error))) from None
        if frame.is_free and lines.is_last() and _last_line_is_cut(frame):
            raise BadTrajectory(truncation(name, index, lines.last_line))
        yield frame
        index += 1


def _last_line_is_cut(frame: RawFrame) -> bool:
    """Judge a last line without line end: it must have the columns and decimals of the one above.

    The only frame of a hand-written file is spared the decimals.
    """
    above, _, last = frame.body.rstrip().rpartition(b"\n")
    if not above:
        return False
    columns, columns_above = last.split(), above[above.rfind(b"\n") + 1 :].split()
    if len(columns) < len(columns_above):
        return True
    return frame.index > 0 and _decimals(columns[-1]) < _decimals(columns_above[-1])


def _decimals(token: bytes) -> int:
    return len(token.partition(b".")[2])


def truncation(name: str, index: int, line: int) -> str:
    """Say that the file ends inside a frame."""
    return (
        f"{name} ends in the middle of frame {index} (line {line}): {_kept(index)};"
        " write the rest of the file again, or go on with what was kept"
    )


def fault(name: str, index: int, line: int, reason: str) -> str:
    """Say what is wrong in a frame."""
    return f"{name}, frame {index} (line {line}): {_printable(reason)}: {_kept(index)}"


def _kept(index: int) -> str:
    return f"{index} complete frame{'s were' if index != 1 else ' was'} kept"


def atom_count(line: bytes) -> int:
    """Read a number of atoms."""
    try:
        count = int(line)
    except ValueError:
        count = -1
    if not 0 <= count <= MAX_ATOMS:
        raise Malformed(f"expected the number of atoms, found '{shown(line)}'")
    return count


def shown(line: bytes) -> str:
    """Return the beginning of a line, fit for a message."""
    return _printable(line[:40].decode("latin-1").strip())


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
