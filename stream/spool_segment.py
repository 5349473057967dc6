"""One file of a spool: records of consecutive frames, each with checksums of its own.

A record is a header of 32 bytes and an encoded block. The header has a checksum too, so that a
damaged record can be told from the end of the file, and the records behind it are found again.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

MAGIC = b"eSpb"
_HEADER = struct.Struct("<4sIQQI")  # magic, frames, first, bytes, checksum of the block
_CHECK = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECK.size
SUFFIX = ".blocks"


class Header(NamedTuple):
    """What a record says of its block."""

    n_frames: int
    first: int
    size: int
    checksum: int

    @property
    def end(self) -> int:
        """The index after its last frame."""
        return self.first + self.n_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Good records of consecutive frames, first to end - 1, from ``offset`` on in one file."""

    path: Path
    first: int
    end: int
    offset: int = 0


def pack_header(first: int, n_frames: int, payload: bytes) -> bytes:
    """What goes before a block."""
    head = _HEADER.pack(MAGIC, n_frames, first, len(payload), zlib.crc32(payload))
    return head + _CHECK.pack(zlib.crc32(head))


def unpack_header(data: bytes | memoryview) -> Header | None:
    """The header at the beginning of some bytes; None where there is none, or a damaged one."""
    if len(data) < HEADER_BYTES or data[:4] != MAGIC:
        return None
    head = data[: _HEADER.size]
    if _CHECK.unpack_from(data, _HEADER.size)[0] != zlib.crc32(head):
        return None
    _, n_frames, first, size, checksum = _HEADER.unpack(head)
    return Header(n_frames, first, size, checksum)


def segment_path(folder: Path, first: int) -> Path:
    """The file whose first frame is ``first``; names sort as the frames do."""
    return folder / f"{first:016d}{SUFFIX}"


def first_of(path: Path) -> int:
    """The index that a file's name tells."""
    return int(path.name.removesuffix(SUFFIX))


def stretches_of(path: Path, before: int | None) -> list[Stretch]:
    """What can be read of a file, damaged records left out; ``before``: where the next file begins.

    Every checksum is checked. What a torn record at the end held was never accepted.
    """
    found: list[Stretch] = []
    for offset, header in _good_records(memoryview(path.read_bytes())):
        end = header.end if before is None else min(header.end, before)
        if end <= header.first:
            continue
        if found and found[-1].end == header.first:
            found[-1] = replace(found[-1], end=end)
        else:
            found.append(Stretch(path=path, first=header.first, end=end, offset=offset))
    return found


def _good_records(data: memoryview) -> Iterator[tuple[int, Header]]:
    offset, raw = 0, data.obj
    assert isinstance(raw, bytes)
    while offset < len(data):
        header = unpack_header(data[offset : offset + HEADER_BYTES])
        if header is not None and _is_whole(data, offset, header):
            yield offset, header
            offset += HEADER_BYTES + header.size
        else:
            offset = raw.find(MAGIC, offset + 1)
            if offset < 0:
                return


def _is_whole(data: memoryview, offset: int, header: Header) -> bool:
    body = data[offset + HEADER_BYTES : offset + HEADER_BYTES + header.size]
    return len(body) == header.size and zlib.crc32(body) == header.checksum


class Reader:
    """Reads the records of one stretch in order, or again from its beginning."""

    def __init__(self, stretch: Stretch) -> None:
        self.path, self._start = stretch.path, stretch.offset
        self._fd = os.open(stretch.path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = self._start

    def reads(self, stretch: Stretch) -> bool:
        """Whether it is the reader of that stretch, which may have grown."""
        return (stretch.path, stretch.offset) == (self.path, self._start)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def block_with(self, index: int) -> tuple[Header, bytes] | None:
        """The record with a frame; None where it is not there or fails its checksum."""
        header = self._header()
        if header is not None and header.first > index:
            self._offset = self._start
            header = self._header()
        while header is not None and header.end <= index:
            self._offset += HEADER_BYTES + header.size
            header = self._header()
        if header is None or header.first > index:
            return None
        payload = os.pread(self._fd, header.size, self._offset + HEADER_BYTES)
        whole = len(payload) == header.size and zlib.crc32(payload) == header.checksum
        return (header, payload) if whole else None

    def _header(self) -> Header | None:
        return unpack_header(os.pread(self._fd, HEADER_BYTES, self._offset))
