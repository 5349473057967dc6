"""A snapshot: which labels of the archive, in which order; its id is the hash over their hashes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream.result_file.draft import SUFFIX
from stream.storage import storage, sync_folder
from xas.errors import BadLabels

FOLDER = "snapshots"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Labels first to end - 1 of each of ``ranges``, numbered as the archive numbers them.

    id: SHA-256 over the labels' hashes in their order. What was chosen stands beside it.
    """

    id: str
    n_labels: int
    ranges: tuple[tuple[int, int], ...]
    element: str
    edge: str
    theory: str
    covering: tuple[float, float] | None = None
    without: int = 0

    def numbers(self) -> list[int]:
        """The numbers of its labels in the archive, in their order."""
        return [number for first, end in self.ranges for number in range(first, end)]


def id_of(hashes: Sequence[str]) -> str:
    """The id of the snapshot that holds labels with these hashes, in this order."""
    known = hashlib.sha256(b"edgestream snapshot 1\n")
    for text in hashes:
        known.update(f"{text}\n".encode())
    return known.hexdigest()


def ranges_of(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Rising numbers as ranges."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return tuple(ranges)


def keep(folder: Path, snapshot: Snapshot) -> None:
    """Make the record of a snapshot durable; one that is there already stays as it is."""
    place = folder / FOLDER
    target = place / f"{snapshot.id}.json"
    if target.exists():
        return
    with storage(target):
        if not place.exists():
            place.mkdir(exist_ok=True)
            sync_folder(folder)
        aside = target.with_suffix(SUFFIX)
        with aside.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(snapshot), indent=1))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
        sync_folder(place)


def kept(folder: Path) -> list[Snapshot]:
    """The snapshots that were taken, in the order of their ids."""
    return [_read(path) for path in sorted((folder / FOLDER).glob("*.json"))]


def find(folder: Path, prefix: str) -> Snapshot:
    """The snapshot whose id begins so; BadLabels where there is none, or several."""
    if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
        raise BadLabels(f"{prefix!r} is no id of a snapshot: 4 to 64 hexadecimal digits")
    found = sorted((folder / FOLDER).glob(f"{prefix}*.json"))
    if len(found) != 1:
        raise BadLabels(
            f"{len(found)} snapshots of {folder} begin with {prefix}; edgestream archive list"
        )
    return _read(found[0])


def _read(path: Path) -> Snapshot:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except msgspec.DecodeError as error:
        raise BadLabels(f"{path} is no record of a snapshot: {error}") from None
