"""A file written aside, which appears whole and durable, or not at all.

The HDF5 library writes through a ``Draft`` (h5py's driver for Python file objects). Two reasons:
the descriptor that is synced is ours, and a full disk never reaches the library, which does not
recover from a failed write (it then fails again on close and at exit). A draft keeps the first
error to itself, swallows what follows, and raises in ``publish``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from xas.errors import StorageFailed

SUFFIX = ".tmp"

_REMEDIES = {
    errno.ENOSPC: "free space there and start again; nothing that was acknowledged is lost",
    errno.EDQUOT: "the quota is used up: free space there and start again",
    errno.EROFS: "the file system is mounted read-only: give a folder that can be written",
    errno.EACCES: "give a folder that this user may write",
    errno.EIO: "the disk reports errors: move the folder to another one",
}


class Draft:
    """A file at ``path.tmp`` that ``publish`` moves to its place; leaving without it removes it.

    As a file object it has what h5py's driver asks for, and no more.
    """

    def __init__(self, place: Path, target: Path) -> None:
        """``place`` is the folder of the temporary file, on the same file system as target."""
        self.target = target
        self._aside = place / (target.name + SUFFIX)
        self._position = 0
        self._failure: OSError | None = None
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with storage(target):
            self._fd = os.open(self._aside, flags, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._fd < 0:
            return
        os.close(self._fd)
        with contextlib.suppress(OSError):
            self._aside.unlink()
        # What the library says about a write that failed is a consequence; this is the cause.
        if self._failure is not None and isinstance(error, Exception):
            raise storage_failed(self.target, self._failure) from self._failure

    def publish(self) -> int:
        """fsync, rename, fsync of the folder; the size in bytes. StorageFailed if one fails."""
        with storage(self.target):
            if self._failure is not None:
                raise self._failure
            os.fsync(self._fd)
            size = os.fstat(self._fd).st_size
            os.rename(self._aside, self.target)  # noqa: PTH104 (one system call, as promised)
            os.close(self._fd)
            self._fd = -1
            sync_folder(self.target.parent)
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the new position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (os.fstat(self._fd).st_size if start is None else start)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def write(self, data: bytes | memoryview) -> int:
        """Write all of data here, or remember why not."""
        left = memoryview(data).cast("B")
        written = len(left)
        try:
            while len(left) and self._failure is None:
                done = os.pwrite(self._fd, left, self._position)
                self._position += done
                left = left[done:]
        except OSError as failure:
            self._failure = failure
        self._position += len(left)
        return written

    def readinto(self, buffer: memoryview) -> int:
        """Read what was written."""
        data = os.pread(self._fd, len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def read(self, size: int) -> bytes:
        """Read what was written."""
        data = os.pread(self._fd, size, self._position)
        self._position += len(data)
        return data

    def truncate(self, size: int) -> int:
        """Set the length, or remember why not."""
        try:
            if self._failure is None:
                os.ftruncate(self._fd, size)
        except OSError as failure:
            self._failure = failure
        return size

    def flush(self) -> None:
        """Nothing is buffered."""


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn an OSError about path into StorageFailed."""
    try:
        yield
    except OSError as failure:
        raise storage_failed(path, failure) from failure


def storage_failed(path: Path, failure: OSError) -> StorageFailed:
    """One line: the file, the reason, the remedy."""
    reason = failure.strerror or str(failure)
    remedy = _REMEDIES.get(failure.errno or 0, "see to the disk and start again")
    return StorageFailed(f"cannot write {path}: {reason}; {remedy}")
