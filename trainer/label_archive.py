"""The archive of labels: a folder that is only appended to, and its snapshots.

    FOLDER/000000000-000000128.h5   labels by number, immutable (``trainer.archive_segment``)
    FOLDER/snapshots/ID.json        which labels a snapshot holds (``trainer.snapshot``)
    FOLDER/refused.dead             what came and was no label, with the reason
    FOLDER/lock                     held by the one process that appends

Labels are numbered from 0 in the order in which they came; a number never gets another label, so
any snapshot can be rebuilt. Reading needs no lock and no service: ``LabelArchive``. Appending is in
``trainer.archive_writer``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.labels import Label
from trainer import archive_segment, snapshot
from trainer.archive import Labels
from trainer.archive_segment import Row
from trainer.snapshot import Snapshot
from trainer.training_data import training_data
from xas.errors import BadLabels

Found = TypeVar("Found")
LOOKS = 5  # at a folder whose files are being merged


class LabelArchive:
    """An archive as it is now; ``refresh`` sees what was appended since.

    rows: what is known of every label, by its number.
    """

    def __init__(self, folder: Path) -> None:
        """BadLabels where a file of the archive is not whole, or missing."""
        self.folder = folder
        self.rows: list[Row] = []
        self.refresh()

    def __len__(self) -> int:
        return len(self.rows)

    def refresh(self) -> None:
        """See what was appended by now."""
        first = len(self.rows)
        new = self._look(lambda path: archive_segment.read_rows(path), first)
        self.rows += new

    def snapshot(
        self,
        *,
        element: str | None = None,
        edge: str | None = None,
        theory: str | None = None,
        covering: tuple[float, float] | None = None,
        without: Collection[str] = (),
        limit: int | None = None,
    ) -> Snapshot:
        """Name, durably, the labels of one element, edge and theory that are here now.

        None: the only one there is; BadLabels where there are several, or no label at all.
        covering: only those whose energies reach over these two, eV. without: hashes of labels to
        leave out. limit: only the first so many. The same labels have the same id, whenever.
        """
        chosen = dict(zip(KINDS, self._kind(element, edge, theory), strict=True))
        left_out = frozenset(without)
        numbers = [
            number
            for number, row in enumerate(self.rows)
            if all(getattr(row, what) == value for what, value in chosen.items())
            and row.sha256 not in left_out
            and (covering is None or (row.low_ev <= covering[0] and row.high_ev >= covering[1]))
        ][:limit]
        if not numbers:
            raise BadLabels(f"{self.folder}: no label is left of what was chosen")
        taken = Snapshot(
            id=snapshot.id_of([self.rows[number].sha256 for number in numbers]),
            n_labels=len(numbers),
            ranges=snapshot.ranges_of(numbers),
            covering=covering,
            without=len(left_out),
            **chosen,
        )
        snapshot.keep(self.folder, taken)
        return taken

    def _kind(self, *wanted: str | None) -> tuple[str, ...]:
        """The only element, edge and theory that there is among what is wanted."""
        kinds = Counter(
            kind
            for kind in ((row.element, row.edge, row.theory) for row in self.rows)
            if all(w in (None, k) for w, k in zip(wanted, kind, strict=True))
        )
        if len(kinds) == 1:
            return next(iter(kinds))
        said = "; ".join(f"{e} {d} {t!r} ({n})" for (e, d, t), n in kinds.most_common(5))
        raise BadLabels(
            f"{self.folder}: holds {said or 'no such labels'}: choose element, edge and theory"
        )

    def snapshots(self) -> list[Snapshot]:
        """All that were taken."""
        return snapshot.kept(self.folder)

    def find_snapshot(self, prefix: str) -> Snapshot:
        """The one whose id begins so; BadLabels."""
        return snapshot.find(self.folder, prefix)

    def rows_of(self, taken: Snapshot) -> list[Row]:
        """What is known of its labels, in the order of ``read``."""
        return [self.rows[number] for number in taken.numbers()]

    def read(self, snapshot_id: str, *, energy: NDArray[np.float64] | None = None) -> Labels:
        """The training data of a snapshot, as they were when it was taken.

        Each label's hash is computed anew, and their hash compared with the id: BadLabels where
        the archive is damaged. energy: the grid to learn, (n_energy,) eV; see ``training_data``.
        """
        taken = self.find_snapshot(snapshot_id)
        labels = self.labels(taken.ranges)
        if snapshot.id_of([label.sha256 for label in labels]) != taken.id:
            raise BadLabels(
                f"{self.folder}: the labels of snapshot {taken.id[:12]} are not what they were; "
                f"edgestream archive verify {self.folder}"
            )
        name = f"{self.folder.name}@{taken.id[:12]}"
        return training_data(labels, file=name, sha256=taken.id, energy=energy)

    def labels(self, ranges: Sequence[tuple[int, int]] | None = None) -> list[Label]:
        """Labels by number, with structures and spectra; None: all."""
        wanted = ((0, len(self)),) if ranges is None else ranges
        numbers = [number for first, end in wanted for number in range(first, end)]
        if numbers and numbers[-1] >= len(self):
            raise BadLabels(f"{self.folder}: has {len(self)} labels, {numbers[-1]} is none")
        if not numbers:
            return []
        first = min(numbers)
        found = self._look(lambda path: archive_segment.read_labels_of(path), first)
        return [found[number - first] for number in numbers]

    def conflicts(self) -> list[list[int]]:
        """Numbers of labels of one structure, element, edge and theory with different spectra."""
        same: dict[tuple[str, ...], list[int]] = {}
        for number, row in enumerate(self.rows):
            same.setdefault(conflict_key(row), []).append(number)
        return [numbers for numbers in same.values() if len(numbers) > 1]

    def verify(self) -> list[str]:
        """What is wrong with the archive, a line each; reads all of it."""
        faults: list[str] = []
        for path, first, _ in self._chain():
            try:
                faults += self._faults(path, first)
            except BadLabels as error:
                faults.append(str(error))
        for taken in self.snapshots():
            if max(taken.numbers(), default=-1) >= len(self):
                faults.append(f"snapshot {taken.id[:12]} names labels that are not here")
            elif snapshot.id_of([row.sha256 for row in self.rows_of(taken)]) != taken.id:
                faults.append(f"snapshot {taken.id[:12]} names other labels than it did")
        return faults

    def _faults(self, path: Path, first: int) -> Iterator[str]:
        labels = archive_segment.read_labels_of(path)
        for number, (row, label) in enumerate(
            zip(archive_segment.read_rows(path), labels, strict=True), start=first
        ):
            if label.sha256 != row.sha256 or label.structure_sha256 != row.structure_sha256:
                yield f"{path}: label {number} ({label.title}) is not what was stored"

    def _look(self, read: Callable[[Path], list[Found]], first: int) -> list[Found]:
        """What ``read`` gives of the files from label ``first`` on; again where one was merged."""
        for _ in range(LOOKS - 1):
            try:
                return self._collect(read, first)
            except FileNotFoundError:
                continue
        return self._collect(read, first)

    def _collect(self, read: Callable[[Path], list[Found]], first: int) -> list[Found]:
        found: list[Found] = []
        for path, begin, end in self._chain():
            if end > first:
                found += read(path)[max(0, first - begin) :]
        return found

    def _chain(self) -> Iterator[tuple[Path, int, int]]:
        return chain(self.folder)


KINDS = ("element", "edge", "theory")


def conflict_key(row: Row) -> tuple[str, ...]:
    """The same for labels that should have the same spectrum."""
    return row.structure_sha256, row.element, row.edge, row.theory


def chain(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """The files of an archive, first label and end, without those that others contain.

    BadLabels where one is missing.
    """
    files = [(path, archive_segment.range_of(path)) for path in folder.glob("*.h5")]
    ranges = sorted(
        ((r[0], -r[1], path) for path, r in files if r is not None), key=lambda f: f[:2]
    )
    at = 0
    for first, minus_end, path in ranges:
        if first > at:
            raise BadLabels(f"{folder}: labels {at} to {first - 1} are missing: restore their file")
        if -minus_end > at:
            if first < at:
                raise BadLabels(f"{path} overlaps with the labels before it")
            at = -minus_end
            yield path, first, at
