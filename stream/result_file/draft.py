"""A file written aside, which appears whole and durable, or not at all.

The HDF5 library writes its part into memory (h5py's driver for Python file objects); rows are only
named, as arrays or as ranges of other files. ``publish`` then writes the file from begin to end,
past the page cache where the file system can (O_DIRECT): a copy takes a fifth of the processor
time, and a run of gigabytes does not displace what others have in memory. The library never sees a
disk that is full, from which it does not recover, and the descriptor that is synced is ours.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from stream.storage import storage, sync_folder

SUFFIX = ".tmp"
PAGE = 4096  # what direct writes and reads are aligned to
CHUNK = 1 << 20  # written at a time
_NO_DIRECT = (errno.EINVAL, errno.EOPNOTSUPP)

Take = Callable[[memoryview, int], None]  # fills a part of the file that begins at an offset in it


class Draft:
    """A file at ``path.tmp`` that ``publish`` moves to its place; leaving without it removes it.

    As a file object it has what h5py's driver asks for, and no more.
    """

    def __init__(self, place: Path, target: Path) -> None:
        """``place`` is the folder of the temporary file, on the same file system as target."""
        self.target = target
        self._aside = place / (target.name + SUFFIX)
        self._position = self._size = 0
        self._pages: dict[int, bytearray] = {}  # what the library wrote, by number
        self._rows: list[tuple[int, int, Take]] = []  # from, to, what fills it
        self._closing = contextlib.ExitStack()
        self._sources: dict[Path, int] = {}
        self._bounce: memoryview | None = None  # where reads are aligned
        with storage(target):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            self._fd = self._open(self._aside, flags)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._closing.close()
        # what fills a range knows the draft: they would wait for the collector, with all they hold
        self._rows, self._pages, self._bounce = [], {}, None
        with contextlib.suppress(OSError):
            self._aside.unlink()

    def _open(self, path: Path, flags: int) -> int:
        fd = open_directly(path, flags)
        self._closing.callback(os.close, fd)
        return fd

    def place(self, at: int, data: memoryview) -> None:
        """Data, unchanged until it is published, belongs there."""

        def take(part: memoryview, offset: int) -> None:
            part[:] = data[offset : offset + len(part)]

        self._rows.append((at, at + len(data), take))

    def place_range(self, at: int, source: Path, start: int, size: int) -> None:
        """So many bytes of another file, from ``start`` on, belong there."""
        if source not in self._sources:
            with storage(source):
                self._sources[source] = self._open(source, os.O_RDONLY)
        fd = self._sources[source]

        def take(part: memoryview, offset: int) -> None:
            first = start + offset
            skipped = first % PAGE
            wanted = skipped + len(part)
            if self._bounce is None:
                self._bounce = _aligned(CHUNK + PAGE)
            got = _directly(os.preadv, fd, [self._bounce[: _up(wanted)]], first - skipped)
            if got < wanted:
                raise OSError(errno.EIO, f"{source.name} ends early")
            part[:] = self._bounce[skipped:wanted]

        self._rows.append((at, at + size, take))

    def publish(self) -> int:
        """Write, fsync, rename, fsync of the folder; the size in bytes. Or StorageFailed."""
        with storage(self.target):
            self._write_out()
            os.fsync(self._fd)
            os.rename(self._aside, self.target)  # noqa: PTH104 (one system call, as promised)
            sync_folder(self.target.parent)
        return self._size

    def _write_out(self) -> None:
        """The whole file, chunk by chunk, and its length."""
        chunk = _aligned(min(CHUNK, _up(self._size)))
        empty = bytes(len(chunk))
        rows = deque(sorted(self._rows, key=lambda row: row[0]))
        pages = deque(sorted(self._pages))
        for start in range(0, self._size, CHUNK):
            end = min(start + CHUNK, self._size)
            if not rows or rows[0][0] > start or rows[0][1] < end:  # else it is full of rows
                chunk[:] = empty
            while pages and pages[0] * PAGE < end:
                number = pages.popleft()
                chunk[number * PAGE - start :][:PAGE] = self._pages[number]
            for first, last, take in rows:
                if first >= end:
                    break
                low, high = max(first, start), min(last, end)
                take(chunk[low - start : high - start], low - first)
            while rows and rows[0][1] <= end:
                rows.popleft()
            self._write_chunk(chunk[: _up(end - start)], start)
        os.ftruncate(self._fd, self._size)

    def _write_chunk(self, left: memoryview, at: int) -> None:
        while len(left):
            done = _directly(os.pwrite, self._fd, left, at)
            at, left = at + done, left[done:]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the new position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def write(self, data: bytes | memoryview) -> int:
        """Keep data for the place here."""
        left = memoryview(data).cast("B")
        for page, at, n in self._parts(len(left)):
            page[at : at + n], left = left[:n], left[n:]
        self._size = max(self._size, self._position)
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        """Read what was written here."""
        left = memoryview(buffer).cast("B")
        for page, at, n in self._parts(len(left)):
            left[:n], left = page[at : at + n], left[n:]
        return len(buffer)

    def read(self, size: int) -> bytes:
        """Read what was written here."""
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def _parts(self, size: int) -> Iterator[tuple[bytearray, int, int]]:
        """Pages, offsets in them and lengths that so many bytes from here on fall on."""
        while size:
            number, at = divmod(self._position, PAGE)
            n = min(size, PAGE - at)
            self._position += n
            size -= n
            yield self._pages.setdefault(number, bytearray(PAGE)), at, n

    def truncate(self, size: int) -> int:
        """Set the length."""
        self._size = size
        return size

    def flush(self) -> None:
        """Nothing is written before ``publish``."""


def open_directly(path: Path, flags: int) -> int:
    """A descriptor past the page cache; through it where the file system knows no other way."""
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_DIRECT, 0o666)
    except OSError as error:
        if error.errno not in _NO_DIRECT:
            raise
        return os.open(path, flags | os.O_CLOEXEC, 0o666)


def _directly(call: Callable[..., int], fd: int, *what: Any) -> int:
    """A direct read or write; through the page cache from now on where it is not aligned enough."""
    try:
        return call(fd, *what)
    except OSError as error:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
            raise
        fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        return call(fd, *what)


def _up(size: int) -> int:
    """To whole pages."""
    return -(-size // PAGE) * PAGE


def _aligned(size: int) -> memoryview:
    """A buffer that begins at a page; of the heap, so that the next one has its pages already."""
    heap = np.empty(size + PAGE, dtype=np.uint8)
    start = -heap.ctypes.data % PAGE
    return memoryview(heap[start : start + size].data)
