"""The store: find models, put them, and move the aliases by which workers find them.

Models are searched on several shelves in order; what changes goes onto the first. Which version an
alias stands for is in the first shelf's history; a model that nobody ever moved has its highest
version for a champion.
"""

from __future__ import annotations

import difflib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from model_store import manifest as manifests
from model_store.aliases import CHAMPION, Aliases
from model_store.bundle import Bundle, open_bundle
from model_store.history import Entry, History
from model_store.local_shelf import LocalShelf
from model_store.manifest import MANIFEST, NAME, Manifest
from model_store.shelf import Shelf, is_version
from xas.errors import BadModel, UnknownModel

if TYPE_CHECKING:
    from model_store.signature import TrustedKeys

BUILTIN = Path(__file__).parent / "builtin"
_LOG = logging.getLogger("edgestream.models")


class Resolved(Struct, frozen=True):
    """What an alias or a number stands for.

    token  changes with every move of an alias of this model
    share  of the frames, 0 to 1, that it takes from the champion
    stale  why this is what was known last, and not what the store says now; empty: it is
    """

    name: str
    which: str
    version: int
    token: str
    stale: str = ""
    share: float = 0.0

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


class Store:
    """Bundles on several shelves; safe for any number of processes on any number of machines.

    One object is for one thread. Any method may raise StoreUnreachable.
    """

    def __init__(
        self,
        places: Iterable[Path | Shelf],
        *,
        builtin: bool = True,
        require_signed: TrustedKeys | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``builtin`` adds the models that come with edgestream as the last shelf.

        ``require_signed``: nothing is opened or put that none of these keys has signed, but for
        the models that come with edgestream, which are as trusted as its code.
        """
        found = [LocalShelf(Path(p)) if isinstance(p, str | Path) else p for p in places]
        self.shelves: tuple[Shelf, ...] = (
            *found,
            *([LocalShelf(BUILTIN, fixed=True)] if builtin else []),
        )
        self.home = self.shelves[0]
        self.clock = clock
        self._keys = require_signed
        self._opened: dict[str, Aliases] = {}
        self._resolved: dict[tuple[str, str], Resolved] = {}

    # -- find ------------------------------------------------------------------------------------

    def get(self, reference: str | Path) -> Bundle:
        """The bundle of ``name``, ``name@version``, ``name@alias`` or a path to a bundle folder.

        Every file's hash is checked first. A name alone is its champion. Raises UnknownModel,
        naming the nearest, and BadModel for a bundle that is damaged or not what it says.
        """
        text = str(reference)
        if (Path(text) / MANIFEST).is_file():
            return open_bundle(Path(text), self._keys)
        if isinstance(reference, Path) or os.sep in text:
            raise UnknownModel(f"{text}: no bundle here (no {MANIFEST} in this folder)")
        name, _, which = text.partition("@")
        return self._open(name, self.resolve(name, which or CHAMPION).version)

    def resolve(self, name: str, which: str = CHAMPION) -> Resolved:
        """What a number or an alias stands for now. Raises UnknownModel.

        Cheap enough to ask every second: after the first time one look for one file (remote: one
        small request), and the same object unless something moved. Where the store is out of
        reach, the answer is the last one known, and ``stale`` says why.
        """
        if not NAME.fullmatch(name):
            raise UnknownModel(f"no model {name!r}; {_nearest(name, self.names())}")
        history = self._aliases(name).history
        was_stale, entry, stale = history.stale, history.last(), history.stale
        if stale and not was_stale:
            _LOG.warning("%s", stale)
        known = self._resolved.get((name, which))
        if known is None or known.token != str(entry.number):
            known = self._resolve(name, which, entry, stale)
        elif known.stale != stale:
            known = msgspec.structs.replace(known, stale=stale)
        self._resolved[name, which] = known
        return known

    def names(self) -> list[str]:
        """The names of all models."""
        found = {name for shelf in self.shelves for name in shelf.names()}
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The versions of one model, rising; empty where there is none."""
        if not NAME.fullmatch(name):
            return []
        return sorted({version for shelf in self.shelves for version in shelf.versions(name)})

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version."""
        return self.of(name).now()

    def history(self, name: str, limit: int = 1_000_000) -> list[Entry]:
        """The moves of a model's aliases, latest first."""
        return self.of(name).history.entries(limit)

    def list(self) -> list[Manifest]:
        """The manifests of all versions of all models, by name, then version; no hash is checked.

        Damaged manifests are left out; ``get`` says what is wrong with them.
        """
        return [m for name in self.names() for m in self._manifests(name)]

    # -- change ----------------------------------------------------------------------------------

    def put(self, folder: Path, *, who: str = "") -> int:
        """Copy a bundle onto the first shelf under the next free version, which is returned.

        All of it or nothing, and no alias moves: what workers run stays what it is. Raises
        BadModel for a bundle that is damaged and StorageFailed where it cannot be written.
        """
        bundle = open_bundle(folder, self._keys)
        name = bundle.manifest.name
        files = {file: bundle.content(file) for file in bundle.manifest.files}
        aliases = self._aliases(name)
        aliases.hold_champion(who)
        versions = self.versions(name)
        version = max([*versions, *aliases.history.last().removed], default=0)
        while True:
            version += 1
            manifest = msgspec.structs.replace(bundle.manifest, version=version)
            if self.home.put(name, version, files | {MANIFEST: manifests.encode(manifest)}):
                aliases.hold_champion(who, below=version)  # where two came at once to a new name
                return version

    def promote(
        self,
        name: str,
        version: int,
        alias: str = CHAMPION,
        *,
        who: str = "",
        why: str = "",
        expect: int | None = None,
        share: float | None = None,
    ) -> Entry:
        """Let an alias stand for a version. Raises AliasMoved where somebody else was faster.

        ``share``: the part of the frames, 0 to 1, that a challenger takes from the champion; None:
        as before.

        ``expect``: the version that it must stand for until then; None: the one it has when this
        is called. Raises UnknownModel where there is no such version.
        """
        return self.of(name).promote(version, alias, who, why, expect, share)

    def rollback(self, name: str, alias: str = CHAMPION, *, who: str = "", why: str = "") -> Entry:
        """Let an alias stand for what it stood for before; again: one further back.

        Raises Reject where there is nothing before, AliasMoved where somebody else was faster.
        """
        return self.of(name).rollback(alias, who, why)

    def retire(self, name: str, alias: str, *, who: str = "", why: str = "") -> Entry:
        """Take an alias away; not the champion. Raises UnknownModel where there is none."""
        return self.of(name).retire(alias, who, why)

    def of(self, name: str) -> Aliases:
        """The aliases of a model. Raises UnknownModel, naming the nearest."""
        if not self.versions(name):
            raise UnknownModel(f"no model {name!r}; {_nearest(name, self.names())}")
        return self._aliases(name)

    # -- inside ----------------------------------------------------------------------------------

    def _aliases(self, name: str) -> Aliases:
        if name not in self._opened:
            history = History(self.home, name)
            self._opened[name] = Aliases(name, history, lambda: self.versions(name), self.clock)
        return self._opened[name]

    def _resolve(self, name: str, which: str, entry: Entry, stale: str) -> Resolved:
        aliases = self.of(name)
        version = int(which) if is_version(which) else aliases.now(entry).get(which)
        if version is None:
            raise aliases.unknown(which)
        if version not in self.versions(name):
            raise aliases.unknown(which, None if is_version(which) else version)
        share = entry.shares.get(which, 0.0)
        return Resolved(name, which, version, str(entry.number), stale, share)

    def _open(self, name: str, version: int) -> Bundle:
        shelf = next((s for s in self.shelves if version in s.versions(name)), None)
        if shelf is None:  # somebody removed it a moment ago
            raise self.of(name).unknown(str(version))
        folder = shelf.folder(name, version)
        ours = folder.parent.parent == BUILTIN
        bundle = open_bundle(folder, None if ours else self._keys)
        if (bundle.manifest.name, bundle.manifest.version) != (name, version):
            raise BadModel(
                f"{shelf.where}/{name}/{version}: the manifest says {bundle.reference}; "
                "was it moved by hand?"
            )
        return bundle

    def _manifests(self, name: str) -> Iterator[Manifest]:
        found = {v: s for s in reversed(self.shelves) for v in s.versions(name)}
        for version, shelf in sorted(found.items()):
            try:
                yield manifests.decode(shelf.manifest(name, version), shelf.where)
            except BadModel:
                continue


def _nearest(name: str, names: list[str]) -> str:
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.4):
        return f"the nearest is {near[0]!r}"
    return f"there are {', '.join(names)}" if names else "there are none"
