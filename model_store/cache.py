"""What this machine keeps of a remote shelf: bundles by SHA-256, and where everything stood.

    bundles/<SHA-256 of the manifest>/       the files of one version, whichever shelf has it
    shelves/<SHA-256 of the URL>/<name>/<version>         that hash
    shelves/<SHA-256 of the URL>/<name>/00000012.json     the last entry of the history

The manifest holds the hash of every other file, so its own hash names the version. Whoever opens a
bundle checks them all: a damaged copy is fetched again.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from model_store.bundle import open_bundle
from model_store.durable import write_new_folder, write_over
from model_store.manifest import MANIFEST, NAME, SHA256
from model_store.shelf import entry_name, entry_number, is_version
from xas.errors import BadModel


class Cache:
    """A folder for one shelf's copies; may be used by many processes at once."""

    def __init__(self, root: Path, url: str) -> None:
        self._bundles = root / "bundles"
        self._shelf = root / "shelves" / hashlib.sha256(url.encode()).hexdigest()

    def bundle(
        self, name: str, version: int, manifest: bytes, fetch: Callable[[], Mapping[str, bytes]]
    ) -> Path:
        """The folder of the version with this manifest; ``fetch`` gets its files where needed."""
        digest = hashlib.sha256(manifest).hexdigest()
        folder = self._bundles / digest
        if not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            write_new_folder(folder, dict(fetch()))
        self._remember(Path(name) / str(version), digest.encode())
        return folder

    def known_bundle(self, name: str, version: int) -> Path | None:
        """The folder of a version as it was seen last; None where it is not here."""
        with contextlib.suppress(OSError, ValueError):
            digest = (self._shelf / name / str(version)).read_text()
            folder = self._bundles / digest
            if SHA256.fullmatch(digest) and (folder / MANIFEST).is_file():
                return folder
        return None

    def names(self) -> list[str]:
        """Models of which something was seen."""
        return [name for name in _names_in(self._shelf) if NAME.fullmatch(name)]

    def versions(self, name: str) -> list[int]:
        """Versions that are here, rising."""
        numbers = [int(n) for n in _names_in(self._shelf / name) if is_version(n)]
        return sorted(n for n in numbers if self.known_bundle(name, n))

    def entry(self, name: str) -> bytes | None:
        """The last entry of a history that was seen."""
        last = max(map(entry_number, _names_in(self._shelf / name)), default=0)
        with contextlib.suppress(OSError):
            return (self._shelf / name / entry_name(last)).read_bytes()
        return None

    def remember_entry(self, name: str, number: int, data: bytes) -> None:
        """Keep an entry, and forget the one before."""
        self._remember(Path(name) / entry_name(number), data)
        with contextlib.suppress(OSError):
            (self._shelf / name / entry_name(number - 1)).unlink()

    def _remember(self, path: Path, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full or fixed cache costs time, not correctness
            if not (self._shelf / path).is_file() or (self._shelf / path).read_bytes() != data:
                write_over(self._shelf / path, data)


def _is_whole(folder: Path) -> bool:
    try:
        open_bundle(folder)
    except BadModel:
        return False
    return True


def _names_in(folder: Path) -> list[str]:
    try:
        return [p.name for p in folder.iterdir()]
    except OSError:
        return []
