"""What a slice did, in a mapped file: it is there also when the process is not."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from target import MAX_INPUT

_HEAD = struct.Struct("<4q")  # inputs, refused, escaped, bytes of the input in hand


class Journal:
    """Counts, and the input in hand. ``inputs`` begins below 0 where known ones come first."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_HEAD.size + MAX_INPUT)
            self._map = mmap.mmap(file.fileno(), 0)
        self.inputs, self.refused, self.escaped, self._size = _HEAD.unpack_from(self._map)

    def take(self, data: bytes) -> None:
        """Begin with an input: it is in hand until the next."""
        self.inputs += 1
        self._size = min(len(data), MAX_INPUT)
        self._map[_HEAD.size : _HEAD.size + self._size] = data[:MAX_INPUT]
        self.note()

    def note(self) -> None:
        """Write the counts down."""
        _HEAD.pack_into(self._map, 0, self.inputs, self.refused, self.escaped, self._size)

    @property
    def in_hand(self) -> bytes:
        """The last input."""
        return self._map[_HEAD.size : _HEAD.size + self._size]
