"""Appending to the archive of labels: one process at a time, each call durable or nothing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.label_stream import Outcome
from stream.labels import Label
from stream.record_file import append, records
from stream.result_file.draft import SUFFIX
from stream.storage import storage, sync_folder
from trainer import archive_segment
from trainer.archive_segment import Row, row_of
from trainer.label_archive import LabelArchive, chain, conflict_key
from xas.errors import Fenced

REFUSED = "refused.dead"
MERGED = 16  # files at the end, each of fewer labels than one of LEVELS, become one
LEVELS = (16, 256, 2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What became of a label. ``other``: the number of the label that it doubles or contradicts."""

    sha256: str
    outcome: Outcome
    number: int
    other: int | None = None


class ArchiveWriter:
    """The one that appends to an archive, for the time of a ``with`` block or until ``close``.

    The folder is made where it is missing. Fenced while another process appends to it.
    """

    def __init__(self, folder: Path) -> None:
        with storage(folder):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                sync_folder(folder.parent)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._take_lock(folder)
            self.archive = LabelArchive(folder)
            self._clean(folder)
        except BaseException:
            os.close(self._lock)
            raise
        self._numbers = {row.sha256: n for n, row in enumerate(self.archive.rows)}
        self._letters = {hash(letter) for _, letter in records(folder / REFUSED)}
        self._firsts: dict[tuple[str, ...], int] = {}
        for number, row in enumerate(self.archive.rows):
            self._firsts.setdefault(conflict_key(row), number)

    def _take_lock(self, folder: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Fenced(f"{folder}: another process appends to this archive") from None

    def _clean(self, folder: Path) -> None:
        """Take away what a kill left: files that were not finished, parts that were merged."""
        used = {path for path, _, _ in chain(folder)}
        for path in folder.iterdir():
            is_part = archive_segment.range_of(path) is not None and path not in used
            if is_part or path.name.endswith(SUFFIX):
                path.unlink()

    def close(self) -> None:
        """Let others append."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, labels: Sequence[Label], t_pushed: Sequence[float]) -> list[Archived]:
        """Store checked labels, all of them or none; what became of each, once it is durable.

        t_pushed: when the server got each, s since 1970. StorageFailed: nothing was stored.
        """
        known, firsts = self._numbers.copy(), self._firsts.copy()
        new: list[tuple[Label, Row]] = []
        told = []
        for label, t in zip(labels, t_pushed, strict=True):
            row = row_of(label, t)
            number = len(self.archive) + len(new)
            if (there := known.setdefault(row.sha256, number)) != number:
                told.append(_told(row, "duplicate", there, there))
                continue
            first = firsts.setdefault(conflict_key(row), number)
            other = first if first != number else None
            told.append(_told(row, "new" if other is None else "conflict", number, other))
            new.append((label, row))
        if new:
            self._store(new)
            self._numbers, self._firsts = known, firsts
            self._merge()
        return told

    def _store(self, new: list[tuple[Label, Row]]) -> None:
        rows = [row for _, row in new]
        labels = [label for label, _ in new]
        archive_segment.write(self.archive.folder, len(self.archive), labels, rows)
        self.archive.rows += rows

    def refuse(self, letters: Sequence[bytes]) -> None:
        """Keep what is no label, durably, each once. StorageFailed."""
        new = [letter for letter in letters if hash(letter) not in self._letters]
        if new:
            append(self.archive.folder / REFUSED, new)
            self._letters.update(map(hash, new))

    def _merge(self) -> None:
        """Turn many small files at the end into one; what was stored stays at every moment."""
        files = list(chain(self.archive.folder))
        for limit in LEVELS:
            n = 0
            while n < len(files) and files[-1 - n][2] - files[-1 - n][1] < limit:
                n += 1
            if n < MERGED:
                continue
            parts = files[-n:]
            first, end = parts[0][1], parts[-1][2]
            labels = [
                label for path, _, _ in parts for label in archive_segment.read_labels_of(path)
            ]
            rows = self.archive.rows[first:end]
            merged = archive_segment.write(self.archive.folder, first, labels, rows)
            for path, _, _ in parts:
                path.unlink()
            files[-n:] = [(merged, first, end)]


def _told(row: Row, outcome: Outcome, number: int, other: int | None) -> Archived:
    return Archived(sha256=row.sha256, outcome=outcome, number=number, other=other)
