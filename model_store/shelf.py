"""Where bundles lie: the contract of a shelf.

    <name>/<version>/          manifest.json, model.onnx, check.npz; never changes
    <name>/history/00000001.json, 00000002.json, ...   who moved which alias, and how all stand then

A version is there if its manifest is, and the manifest comes last. A move of an alias is there if
its entry is. Both are made by the one promise on which everything stands: *of several who make the
same name at once, one succeeds and the others are told*. So a kill at any moment leaves a valid
shelf, perhaps with leftovers that nobody sees. `local_shelf` and `remote_shelf` keep this contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

HISTORY = "history"
MAX_VERSION_DIGITS = 9
LEFTOVER_AGE_S = 3600.0  # what is older is no longer being written


class Shelf(Protocol):
    """Bundles and histories in one place. Any method may raise StoreUnreachable."""

    where: str

    def names(self) -> list[str]:
        """Names that may have versions; none where there is no such place yet."""

    def versions(self, name: str) -> list[int]:
        """Versions that are whole, rising."""

    def manifest(self, name: str, version: int) -> bytes:
        """The manifest of a version. Raises BadModel."""

    def folder(self, name: str, version: int) -> Path:
        """A folder on this machine with the version's files, which the caller verifies."""

    def put(self, name: str, version: int, files: Mapping[str, bytes]) -> bool:
        """Make a version, all or nothing; False where the number is taken. Raises StorageFailed."""

    def remove(self, name: str, version: int) -> None:
        """Take a version away, if it is there, all or nothing. Raises StorageFailed."""

    def put_at(self, name: str, version: int) -> float:
        """When a version was put, seconds since 1970; infinite where it is not there."""

    def last_entry(self, name: str) -> int:
        """Number of the last entry of a history; 0: there is none."""

    def entry(self, name: str, number: int) -> bytes | None:
        """An entry of a history; None where there is none. This is what workers ask each second."""

    def remembered(self, name: str) -> bytes | None:
        """The last entry that this machine saw, for when the shelf is out of reach.

        Empty: it saw versions, and no entry. None: it saw nothing.
        """

    def append(self, name: str, number: int, entry: bytes) -> bool:
        """Make an entry; False where there is one of that number. Raises StorageFailed."""

    def leftovers(self, name: str, now: float) -> list[str]:
        """What kills and half copies left, older than an hour."""

    def sweep(self, name: str, leftover: str) -> None:
        """Remove a leftover. Raises StorageFailed."""


def is_version(text: str) -> bool:
    """Whether a folder of this name is a version: 1, 2, ...; Triton ignores all others, too."""
    return (
        text.isascii()
        and text.isdigit()
        and len(text) <= MAX_VERSION_DIGITS
        and not text.startswith("0")
    )


def entry_name(number: int) -> str:
    """The file of an entry."""
    return f"{number:08d}.json"


def entry_number(name: str) -> int:
    """The number of an entry's file; 0 where it is none."""
    stem, _, suffix = name.partition(".")
    return int(stem) if suffix == "json" and stem.isascii() and stem.isdigit() else 0
