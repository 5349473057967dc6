"""Files that are there whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path

from xas.errors import StorageFailed

ASIDE = "."  # what is being written has a name that begins like this


def write_new_folder(folder: Path, files: dict[str, bytes]) -> bool:
    """Make a folder with these files; False where there is something of that name already.

    Written aside, synced, renamed. Raises StorageFailed, and leaves nothing.
    """
    aside = folder.parent / f"{ASIDE}put-{uuid.uuid4().hex}"
    try:
        make_folder(folder.parent)
        aside.mkdir()
        for name, data in files.items():
            _write(aside / name, data)
        sync_folder(aside)
        made = _rename_new(aside, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise storage_failed(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return made


def write_new_file(path: Path, data: bytes) -> bool:
    """Make a file; False where there is one of that name already, with other content.

    Written aside, synced, linked: of two at once one is told False, whatever the moment. Raises
    StorageFailed, and leaves nothing.
    """
    aside = path.parent / f"{ASIDE}entry-{uuid.uuid4().hex}"
    try:
        make_folder(path.parent)
        _write(aside, data)
        os.link(aside, path)
        sync_folder(path.parent)
    except FileExistsError:
        return _holds(path, data)  # a file server may make the link, lose its reply, and try again
    except OSError as error:
        raise storage_failed(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
    return True


def write_over(path: Path, data: bytes) -> None:
    """Make a file or replace one; a reader finds the old or the new. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.parent / f"{ASIDE}over-{uuid.uuid4().hex}"
    try:
        _write(aside, data)
        aside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def remove_folder(folder: Path) -> None:
    """Take a folder away, if it is there: at no moment a part of it is under its name."""
    aside = folder.parent / f"{ASIDE}gone-{uuid.uuid4().hex}"
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_failed(folder, error) from error
    try:
        sync_folder(folder.parent)
        shutil.rmtree(aside)
    except OSError as error:
        raise storage_failed(folder, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file") from None
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """What was renamed or linked in a folder survives a power cut from here on."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def storage_failed(path: Path, error: OSError) -> StorageFailed:
    """The disk's complaint in a line, with its remedy."""
    remedy = (
        "free space there"
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "is it the right folder, and yours?"
    )
    return StorageFailed(f"{path}: cannot store the model: {error.strerror or error}; {remedy}")


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)  # immutable: a reminder, not a lock


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _rename_new(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError:
        if target.exists():
            return False
        raise
    return True
