"""A shelf behind a URL: s3://bucket/folder, gs://, az://, or whatever fsspec reads.

The only room that knows fsspec. Objects are made with ``If-None-Match: *``, fsspec's
``mode="create"``: of two at once the server takes one. The first file of a version takes its
number, the manifest makes it visible, and neither is ever written over.
"""

from __future__ import annotations

import contextlib
import math
import posixpath
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from model_store.cache import Cache
from model_store.manifest import MANIFEST, NAME, decode
from model_store.shelf import HISTORY, LEFTOVER_AGE_S, entry_name, entry_number, is_version
from xas.errors import BadModel, EdgestreamError, Reject, StorageFailed, StoreUnreachable

if TYPE_CHECKING:
    import fsspec

T = TypeVar("T")
LARGEST_ENTRY_BYTES = 1 << 20
# where two who create the same name at once are told apart by the server
EXCLUSIVE = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "abfs", "abfs": "abfs"}
# a worker asks each second, and must not hang on a server that is away
PATIENCE = {"connect_timeout": 3, "read_timeout": 10, "retries": {"max_attempts": 1}}
HOLD_OFF_S = 3.0  # a server that did not answer is not asked again before
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")


class RemoteShelf:
    """The contract of `shelf.py` by conditional writes; reads go on from the cache."""

    def __init__(self, url: str, cache: Path) -> None:
        """``cache``: the folder for copies; credentials are where the file system looks."""
        self.where = url.rstrip("/")
        self._protocol = url.partition("://")[0]
        self._cache = Cache(cache, self.where)
        self._stale = ""
        self._proven = False
        self._silent: tuple[float, str] | None = None

    def names(self) -> list[str]:
        """Names that may have versions; none where there is no such place yet."""
        return self._or(self._cache.names, lambda: _basenames(self._ls(self._root)))

    def versions(self, name: str) -> list[int]:
        """Versions that are whole, rising."""

        def look() -> list[int]:
            found = (path.split("/") for path in self._find(name))
            return sorted(
                int(p[0]) for p in found if len(p) == 2 and is_version(p[0]) and p[1] == MANIFEST
            )

        return self._or(lambda: self._cache.versions(name), look)

    def manifest(self, name: str, version: int) -> bytes:
        """The manifest of a version."""
        return self._or(
            lambda: (self._known(name, version) / MANIFEST).read_bytes(),
            lambda: self._read(name, version, MANIFEST),
        )

    def folder(self, name: str, version: int) -> Path:
        """A folder on this machine with the version's files, which the caller verifies."""

        def look() -> Path:
            manifest = self._read(name, version, MANIFEST)
            files = decode(manifest, f"{self.where}/{name}/{version}/{MANIFEST}").files
            return self._cache.bundle(
                name,
                version,
                manifest,
                lambda: {f: self._read(name, version, f) for f in files} | {MANIFEST: manifest},
            )

        return self._or(lambda: self._known(name, version), look)

    def put(self, name: str, version: int, files: Mapping[str, bytes]) -> bool:
        """Make a version, all or nothing; False where the number is taken."""
        self._require_exclusive(name)
        first, *rest = sorted(files, key=lambda file: (file == MANIFEST, file))
        if not self._create(f"{name}/{version}/{first}", files[first], again=False):
            return False
        for file in rest:
            if not self._create(f"{name}/{version}/{file}", files[file]):
                raise StorageFailed(
                    f"{self.where}/{name}/{version}/{file}: somebody else put it there; "
                    "put the model again"
                )
        return True

    def remove(self, name: str, version: int) -> None:
        """Take a version away, all or nothing."""
        self._delete(f"{name}/{version}/{MANIFEST}")
        for path in self._reach(lambda: self._find(name)):
            if path.startswith(f"{version}/"):
                self._delete(f"{name}/{path}")

    def put_at(self, name: str, version: int) -> float:
        """When a version was put, seconds since 1970."""
        return self._reach(lambda: self._modified(self._path(name, str(version), MANIFEST)))

    def last_entry(self, name: str) -> int:
        """Number of the last entry of a history; 0: there is none."""
        names = self._reach(lambda: _basenames(self._ls(self._path(name, HISTORY))))
        return max(map(entry_number, names), default=0)

    def entry(self, name: str, number: int) -> bytes | None:
        """An entry of a history; None where there is none."""
        path = self._path(name, HISTORY, entry_name(number))
        data = self._reach(lambda: self._get(path, LARGEST_ENTRY_BYTES))
        if data is not None:
            self._cache.remember_entry(name, number, data)
        return data

    def remembered(self, name: str) -> bytes | None:
        """The last entry that this machine saw."""
        return self._cache.entry(name) or (b"" if self._cache.versions(name) else None)

    def append(self, name: str, number: int, entry: bytes) -> bool:
        """Make an entry; False where there is one of that number."""
        self._require_exclusive(name)
        made = self._create(f"{name}/{HISTORY}/{entry_name(number)}", entry)
        if made:
            self._cache.remember_entry(name, number, entry)
        return made

    def leftovers(self, name: str, now: float) -> list[str]:
        """What kills and half copies left, older than an hour."""
        found = self._reach(lambda: self._find(name))
        by_version: dict[str, list[str]] = {}
        for path in found:
            by_version.setdefault(path.split("/")[0], []).append(path)
        halves = [v for v in by_version if is_version(v) and f"{v}/{MANIFEST}" not in found]
        return sorted(v for v in halves if self._age_s(name, by_version[v], now) > LEFTOVER_AGE_S)

    def sweep(self, name: str, leftover: str) -> None:
        """Remove a leftover."""
        for path in self._reach(lambda: self._find(name)):
            if path.startswith(f"{leftover}/"):
                self._delete(f"{name}/{path}")

    # -- the file system ---------------------------------------------------------------------

    @cached_property
    def _fs(self) -> fsspec.AbstractFileSystem:
        return _file_system(self.where)

    @cached_property
    def _root(self) -> str:
        return str(self._fs._strip_protocol(self.where)).rstrip("/")  # its public spelling opens

    def _path(self, *parts: str) -> str:
        return posixpath.join(self._root, *parts)

    def _ls(self, path: str) -> list[str]:
        try:
            return [str(found) for found in self._fs.ls(path, detail=False)]
        except FileNotFoundError as error:
            _require_bucket(error)
            return []

    def _find(self, name: str) -> list[str]:
        """All paths of a model, from its name on."""
        start = len(self._path(name)) + 1
        return [str(path)[start:] for path in self._fs.find(self._path(name))]

    def _get(self, path: str, limit: int | None = None) -> bytes | None:
        """One request; None where there is nothing."""
        try:
            return bytes(self._fs.cat_file(path, start=0, end=limit))
        except FileNotFoundError as error:
            _require_bucket(error)
            return None

    def _read(self, name: str, version: int, file: str) -> bytes:
        data = self._get(self._path(name, str(version), file))
        if data is None:
            raise BadModel(f"{self.where}/{name}/{version}/{file}: is not there")
        return data

    def _create(self, path: str, data: bytes, *, again: bool = True) -> bool:
        """Make an object; ``again``: one of the same bytes is this one, written by a retry."""

        def write() -> bool:
            try:
                self._fs.pipe_file(self._path(path), data, mode="create")
            except Exception as error:
                if not isinstance(error, FileExistsError) and _code(error) not in _TAKEN:
                    raise
                return again and self._get(self._path(path)) == data
            return True

        return self._reach(write, StorageFailed)

    def _delete(self, path: str) -> None:
        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(path))

        self._reach(delete, StorageFailed)

    def _age_s(self, name: str, paths: list[str], now: float) -> float:
        full = [self._path(name, path) for path in paths]
        return now - max(self._reach(lambda: [self._modified(path) for path in full]))

    def _modified(self, path: str) -> float:
        try:
            return float(self._fs.modified(path).timestamp())
        except FileNotFoundError:
            return math.inf

    def _known(self, name: str, version: int) -> Path:
        folder = self._cache.known_bundle(name, version)
        if folder is None:
            raise StoreUnreachable(f"{self._stale}; {name}@{version} is not in the cache")
        return folder

    def _require_exclusive(self, name: str) -> None:
        """Reject a place that does not tell two who write at once apart."""
        if self._protocol not in EXCLUSIVE:
            raise Reject(
                f"{self.where}: {self._protocol}:// cannot tell two operators at once apart; "
                "change models where they lie, or keep them on s3://, gs:// or az://"
            )
        if not self._proven:
            probe = f"{name}/{HISTORY}/probe"
            if self._create(probe, b"", again=False) and self._create(probe, b"", again=False):
                raise Reject(
                    f"{self.where}: this server ignores If-None-Match, so that two operators at "
                    "once would undo each other; update it, or keep models in a folder"
                )
            self._proven = True

    def _or(self, otherwise: Callable[[], T], look: Callable[[], T]) -> T:
        """What the server says, or, where it is out of reach, what the cache does: logged once."""
        try:
            found = self._reach(look)
        except StoreUnreachable as error:
            if not self._cache.names():
                raise
            self._stale = str(error)
            return otherwise()
        self._stale = ""
        return found

    def _reach(self, act: Callable[[], T], failed: type[EdgestreamError] = StoreUnreachable) -> T:
        if self._silent and time.monotonic() < self._silent[0]:
            raise failed(self._silent[1])
        try:
            found = act()
        except (EdgestreamError, ImportError):
            raise
        except Exception as error:  # noqa: BLE001 - each file system has its own classes
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            line = f"the store {self.where} cannot be used: {reason}"
            if not _code(error):
                self._silent = time.monotonic() + HOLD_OFF_S, line
            raise failed(line) from None
        self._silent = None
        return found


def _file_system(url: str) -> Any:
    protocol = url.partition("://")[0]
    options: dict[str, Any] = {"use_listings_cache": False}
    try:
        import fsspec

        if EXCLUSIVE.get(protocol) == "s3":
            found = fsspec.filesystem("s3", config_kwargs=PATIENCE, **options)
            found.retries = 1  # beside those of the library below it
            return found
        return fsspec.core.url_to_fs(url, **options)[0]
    except ImportError as error:
        extra = "pip install 'edgestream[s3]'" if protocol.startswith("s3") else str(error)
        raise Reject(f"{url}: {protocol}:// needs another package: {extra}") from None
    except ValueError as error:
        raise Reject(f"{url}: not a place that fsspec knows: {error}") from None


def _basenames(paths: list[str]) -> list[str]:
    names = (posixpath.basename(path.rstrip("/")) for path in paths)
    return [name for name in names if NAME.fullmatch(name)]


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None) or getattr(
        getattr(error, "__cause__", None), "response", None
    )
    return str(response["Error"].get("Code")) if response else ""


def _require_bucket(error: FileNotFoundError) -> None:
    if _code(error) == "NoSuchBucket":
        raise StoreUnreachable(str(error)) from None
