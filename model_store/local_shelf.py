"""A shelf in a folder of this machine, or of a file server."""

from __future__ import annotations

import math
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from model_store.durable import (
    ASIDE,
    remove_folder,
    storage_failed,
    write_new_file,
    write_new_folder,
)
from model_store.manifest import MANIFEST, NAME
from model_store.shelf import HISTORY, LEFTOVER_AGE_S, entry_name, entry_number, is_version
from xas.errors import BadModel, StorageFailed, StoreUnreachable


class LocalShelf:
    """The contract of `shelf.py` by rename and link; see `durable.py`."""

    def __init__(self, root: Path, *, fixed: bool = False) -> None:
        """``fixed``: nothing may be put here (the models that come with edgestream)."""
        self.where = str(root)
        self._root = root
        self._fixed = fixed

    def names(self) -> list[str]:
        """Names that may have versions; none where there is no such place yet."""
        return [p.name for p in _folders_in(self._root)]

    def versions(self, name: str) -> list[int]:
        """Versions that are whole, rising."""
        inside = _folders_in(self._root / name)
        return sorted(
            int(p.name) for p in inside if is_version(p.name) and (p / MANIFEST).is_file()
        )

    def manifest(self, name: str, version: int) -> bytes:
        """The manifest of a version."""
        path = self.folder(name, version) / MANIFEST
        try:
            return path.read_bytes()
        except OSError as error:
            raise BadModel(f"{path}: cannot be read ({error.strerror})") from None

    def folder(self, name: str, version: int) -> Path:
        """A folder on this machine with the version's files, which the caller verifies."""
        return self._root / name / str(version)

    def put(self, name: str, version: int, files: Mapping[str, bytes]) -> bool:
        """Make a version, all or nothing; False where the number is taken."""
        self._require_own()
        return write_new_folder(self.folder(name, version), dict(files))

    def remove(self, name: str, version: int) -> None:
        """Take a version away, all or nothing."""
        self._require_own()
        remove_folder(self.folder(name, version))

    def put_at(self, name: str, version: int) -> float:
        """When a version was put, seconds since 1970."""
        try:
            return (self.folder(name, version) / MANIFEST).stat().st_mtime
        except FileNotFoundError:
            return math.inf
        except OSError as error:
            raise storage_failed(self.folder(name, version), error) from None

    def last_entry(self, name: str) -> int:
        """Number of the last entry of a history; 0: there is none."""
        return max(map(entry_number, _files_in(self._root / name / HISTORY)), default=0)

    def entry(self, name: str, number: int) -> bytes | None:
        """An entry of a history; None where there is none."""
        path = self._entry(name, number)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if number > 1 and not self._entry(name, number - 1).exists():
                raise StoreUnreachable(f"the store {self.where} is gone") from None
            return None
        except OSError as error:
            raise StoreUnreachable(f"{path}: cannot be read ({error.strerror})") from None

    def remembered(self, name: str) -> bytes | None:
        """The last entry that this machine saw."""
        del name
        return None

    def append(self, name: str, number: int, entry: bytes) -> bool:
        """Make an entry; False where there is one of that number."""
        self._require_own()
        return write_new_file(self._entry(name, number), entry)

    def leftovers(self, name: str, now: float) -> list[str]:
        """What kills and half copies left, older than an hour."""
        found = []
        home = self._root / name
        for path in (*_paths_in(home), *_paths_in(home / HISTORY)):
            half = is_version(path.name) and not (path / MANIFEST).is_file()
            if (half or path.name.startswith(ASIDE)) and _age_s(path, now) > LEFTOVER_AGE_S:
                found.append(str(path.relative_to(home)))
        return sorted(found)

    def sweep(self, name: str, leftover: str) -> None:
        """Remove a leftover."""
        self._require_own()
        path = self._root / name / leftover
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_failed(path, error) from error

    def _entry(self, name: str, number: int) -> Path:
        return self._root / name / HISTORY / entry_name(number)

    def _require_own(self) -> None:
        if self._fixed:
            raise StorageFailed(
                "the models that come with edgestream stay as they are; name a folder of your own"
            )


def _folders_in(folder: Path) -> list[Path]:
    return [p for p in _paths_in(folder) if NAME.fullmatch(p.name) and p.is_dir()]


def _files_in(folder: Path) -> list[str]:
    return [p.name for p in _paths_in(folder)]


def _paths_in(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]  # noqa: PTH208 (a list, or nothing)
    except (FileNotFoundError, NotADirectoryError):
        return []  # a folder of the search path that does not exist holds no models
    except OSError as error:
        raise StoreUnreachable(f"{folder}: cannot be read ({error.strerror})") from None


def _age_s(path: Path, now: float) -> float:
    """The age of a file, or of what is youngest in a folder."""
    try:
        inside = list(path.iterdir()) if stat.S_ISDIR(path.lstat().st_mode) else []
        return now - max(p.lstat().st_mtime for p in (path, *inside))
    except OSError:
        return 0.0  # it went away, or is being changed
