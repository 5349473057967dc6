"""What a disk refuses, as one line with its remedy; and what makes names durable."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from xas.errors import StorageFailed

_REMEDIES = {
    errno.ENOSPC: "free space there and start again; nothing that was acknowledged is lost",
    errno.EDQUOT: "the quota is used up: free space there and start again",
    errno.EROFS: "the file system is mounted read-only: give a folder that can be written",
    errno.EACCES: "give a folder that this user may write",
    errno.EIO: "the disk reports errors: move the folder to another one",
}


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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
