"""Folders of bundles: find, list, put.

``<root>/<name>/<version>/`` holds ``manifest.json``, ``model.onnx`` and ``check.npz`` and never
changes once it is there; ``<root>/<name>/aliases.json`` gives versions other names.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from model_store import manifest as manifests
from model_store.bundle import Bundle, open_bundle
from model_store.manifest import MANIFEST, NAME, Manifest
from xas.errors import BadModel, StorageFailed, UnknownModel

BUILTIN = Path(__file__).parent / "builtin"
ALIASES = "aliases.json"
CHAMPION = "champion"
_MAX_VERSION_DIGITS = 9


class Store:
    """Bundles in several folders, searched in order; new ones go into the first."""

    def __init__(self, folders: Iterable[Path], *, builtin: bool = True) -> None:
        """``builtin`` adds the models that come with edgestream as the last folder."""
        self.folders = (*map(Path, folders), *([BUILTIN] if builtin else []))

    def get(self, reference: str | Path) -> Bundle:
        """The bundle of ``name``, ``name@version``, ``name@alias`` or a path to a bundle folder.

        Every file's hash is checked first. A name alone is its champion. Raises UnknownModel,
        naming the nearest, and BadModel for a bundle that is damaged or not what it says.
        """
        text = str(reference)
        if (Path(text) / MANIFEST).is_file():
            return open_bundle(Path(text))
        if isinstance(reference, Path) or os.sep in text:
            raise UnknownModel(f"{text}: no bundle here (no {MANIFEST} in this folder)")
        name, _, which = text.partition("@")
        version = self.resolve(name, which or CHAMPION)
        return self._open(name, version)

    def resolve(self, name: str, which: str = CHAMPION) -> int:
        """The version that a number or an alias stands for. Raises UnknownModel."""
        versions = self.versions(name)
        if not versions:
            raise UnknownModel(f"no model {name!r}; {_nearest(name, self.names())}")
        aliases = self.aliases(name)
        version = int(which) if _is_version(which) else aliases.get(which)
        if version in versions:
            return version
        known = [*map(str, versions), *sorted({*aliases, CHAMPION})]
        raise UnknownModel(f"model {name!r} has no {which!r}; it has {', '.join(known)}")

    def names(self) -> list[str]:
        """The names of all models."""
        found = {p.name for root in self.folders for p in _folders_in(root)}
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The versions of one model, rising; empty where there is none."""
        if not NAME.fullmatch(name):
            return []
        inside = (p for root in self.folders for p in _folders_in(root / name))
        return sorted({int(p.name) for p in inside if _is_bundle(p)})

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version; ``champion`` is the highest version unless a file says otherwise."""
        versions = self.versions(name)
        aliases = {CHAMPION: versions[-1]} if versions else {}
        for root in reversed(self.folders):
            aliases |= _read_aliases(root / name / ALIASES)
        return aliases

    def list(self) -> list[Manifest]:
        """The manifests of all versions of all models, by name, then version; no hash is checked.

        Damaged manifests are left out; ``get`` says what is wrong with them.
        """
        return [m for name in self.names() for m in self._manifests(name)]

    def put(self, folder: Path) -> int:
        """Copy a bundle into the first folder under the next free version, which is returned.

        All of it or nothing: copied aside, fsync, rename. Raises BadModel for a bundle that is
        damaged and StorageFailed where the folder cannot be written.
        """
        bundle = open_bundle(folder)
        home = self.folders[0] / bundle.manifest.name
        try:
            home.mkdir(parents=True, exist_ok=True)
            return self._put(bundle, home)
        except OSError as error:
            raise StorageFailed(f"{home}: cannot store the model: {error.strerror}") from error

    def _put(self, bundle: Bundle, home: Path) -> int:
        aside = home / f".put-{uuid.uuid4().hex}"
        try:
            while True:
                version = max(self.versions(bundle.manifest.name), default=0) + 1
                _write(bundle, version, aside)
                if _rename_new(aside, home / str(version)):
                    _fsync(home)
                    return version
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _open(self, name: str, version: int) -> Bundle:
        folder = next(p for p in self._places(name, version) if _is_bundle(p))
        bundle = open_bundle(folder)
        if (bundle.manifest.name, bundle.manifest.version) != (name, version):
            raise BadModel(f"{folder}: the manifest says {bundle.reference}; was it moved by hand?")
        return bundle

    def _places(self, name: str, version: int) -> Iterator[Path]:
        return (root / name / str(version) for root in self.folders)

    def _manifests(self, name: str) -> Iterator[Manifest]:
        for version in self.versions(name):
            folder = next(p for p in self._places(name, version) if _is_bundle(p))
            with contextlib.suppress(BadModel):
                yield manifests.read(folder)


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_VERSION_DIGITS


def _is_bundle(folder: Path) -> bool:
    return (
        _is_version(folder.name)
        and folder.name == str(int(folder.name))
        and (folder / MANIFEST).is_file()
    )


def _folders_in(root: Path) -> list[Path]:
    try:
        return [p for p in root.iterdir() if p.is_dir() and NAME.fullmatch(p.name)]
    except OSError:
        return []  # a folder of the search path that does not exist holds no models


def _nearest(name: str, names: list[str]) -> str:
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.4):
        return f"the nearest is {near[0]!r}"
    return f"there are {', '.join(names)}" if names else "there are none"


def _read_aliases(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, OSError) as error:
        raise BadModel(f"{path}: cannot be read as aliases ({error}); mend or delete it") from None


def _write(bundle: Bundle, version: int, aside: Path) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    manifest = msgspec.structs.replace(bundle.manifest, version=version)
    for name in manifest.files:
        _write_file(aside / name, bundle.content(name))
    _write_file(aside / MANIFEST, manifests.encode(manifest))
    _fsync(aside)


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)  # immutable: a reminder, not a lock


def _fsync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename_new(source: Path, target: Path) -> bool:
    """Rename a folder; False where another process has put something there first."""
    try:
        source.rename(target)
    except OSError:
        if target.exists():
            return False
        raise
    return True
