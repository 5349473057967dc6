"""A file of records that is only appended to, by whoever holds something to say.

A record is ``ESR1``, its length and its CRC-32 (both little-endian, 4 bytes), and its bytes. What a
kill or a full disk cut short is skipped where the next record begins: no file needs repair.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from stream.storage import storage, sync_folder

_MAGIC = b"ESR1"
_HEAD = struct.Struct("<4sII")


def append(path: Path, records: Sequence[bytes]) -> None:
    """Add records; they are durable when this returns. StorageFailed where the disk refuses."""
    data = b"".join(_HEAD.pack(_MAGIC, len(r), zlib.crc32(r)) + r for r in records)
    with storage(path):
        is_new = not path.exists()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            left = memoryview(data)
            while len(left):
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if is_new:
            sync_folder(path.parent)


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every whole record with its place, oldest first; none where there is no file."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_MAGIC)
        while at >= 0:
            record = _record(data, at)
            if record is not None:
                yield at, record
            # behind what is no whole record, the next may begin anywhere
            at = data.find(_MAGIC, at + (1 if record is None else _HEAD.size + len(record)))


def record_at(path: Path, at: int) -> bytes:
    """The record at a place that ``records`` gave."""
    with path.open("rb") as file:
        file.seek(at)
        _, size, _ = _HEAD.unpack(file.read(_HEAD.size))
        return file.read(size)


def _record(data: mmap.mmap, at: int) -> bytes | None:
    head = data[at : at + _HEAD.size]
    if len(head) < _HEAD.size:
        return None
    _, size, crc = _HEAD.unpack(head)
    record = data[at + _HEAD.size : at + _HEAD.size + size]
    return record if len(record) == size and zlib.crc32(record) == crc else None
