"""Labels that are asked for: a folder beside the archive, which survives whatever restarts.

FOLDER/ID/request.json   the structure, and why; ID is of its content, so none is there twice
FOLDER/ID/1, 2, ...      the attempts to answer it, each in a folder of its own
FOLDER/ID/answer.json    what came of it: the hash of the label that was pushed
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stream.labels import Label, label_of
from stream.storage import storage, sync_folder
from trainer.training_task import write_whole
from xas.edges import element_symbol
from xas.errors import BadLabels
from xas.structure import StructureBatch

REQUESTS = "requests"
REQUEST, ANSWER = "request.json", "answer.json"


class LabelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A structure whose spectrum is wanted; its first atom absorbs.

    numbers (n_atoms,); positions (n_atoms, 3) angstrom; cell (3, 3) and pbc (3,) or None.
    novelty, uncertainty: of the champion's prediction; t_asked: s since 1970;
    rank: among those that were asked for at that moment, from 0, the best.
    """

    id: str
    numbers: list[int]
    positions: list[list[float]]
    cell: list[list[float]] | None
    pbc: list[bool] | None
    edge: str
    name: str
    novelty: float
    uncertainty: float
    t_asked: float
    rank: int = 0

    def structure(self) -> StructureBatch:
        """A batch of one, as it was asked for: the same label is the same content."""
        cells = None if self.cell is None else np.array(self.cell)
        return StructureBatch.from_arrays(self.numbers, self.positions, None, cells, self.pbc)

    def answered(self, found: Label, theory: str | None = None) -> Label:
        """The label of this structure, with the spectrum of another: a program saw a part of it."""
        if found.edge != self.edge or found.element != self._element():
            raise BadLabels(f"asked for {self._element()} {self.edge}, not {found.element}")
        energy, intensity = found.spectrum()
        return label_of(
            self.structure(),
            energy,
            intensity,
            absorber=0,
            edge=self.edge,
            theory=theory or found.theory,
            source=f"request {self.id}",
            name=self.name,
        )

    def _element(self) -> str:
        return element_symbol(self.numbers[0])


def request_of(
    structure: StructureBatch, atom: int, edge: str, name: str, **why: Any
) -> LabelRequest:
    """A request for one atom of a batch of one, which becomes the first; why: as the fields say."""
    order = np.argsort(np.arange(structure.n_atoms) != atom, kind="stable")
    periodic = structure.cells is not None and structure.pbc is not None and structure.pbc.any()
    told: dict[str, Any] = {
        "numbers": structure.numbers[order].tolist(),
        "positions": structure.positions[order].tolist(),
        "cell": structure.cells[0].tolist() if periodic and structure.cells is not None else None,
        "pbc": structure.pbc[0].tolist() if periodic and structure.pbc is not None else None,
        "edge": edge,
    }
    return LabelRequest(
        id=sha256(msgspec.json.encode(told)).hexdigest()[:16], name=name, **told, **why
    )


class RequestFolder:
    """The requests of an archive: asked by one process, answered by another."""

    def __init__(self, archive: Path) -> None:
        self.folder = archive / REQUESTS

    def add(self, request: LabelRequest) -> bool:
        """Keep a request, durably; False where it is there already. StorageFailed."""
        place = self.folder / request.id
        if (place / REQUEST).exists():
            return False
        with storage(place):
            place.mkdir(parents=True, exist_ok=True)
            write_whole(place / REQUEST, msgspec.json.encode(request))
            sync_folder(place)
            sync_folder(self.folder)
        return True

    def all(self) -> list[LabelRequest]:
        """Every request, in the order in which they were asked, of one moment the best first."""
        return self.others(frozenset())

    def others(self, seen: Collection[str]) -> list[LabelRequest]:
        """Those whose ids are none of these, in that order."""
        names = {path.parent.name for path in self.folder.glob(f"*/{REQUEST}")} - set(seen)
        return sorted(map(self.read, names), key=lambda r: (r.t_asked, r.rank, r.id))

    def waiting(self) -> list[LabelRequest]:
        """Those without an answer."""
        return self.others({path.parent.name for path in self.folder.glob(f"*/{ANSWER}")})

    def read(self, request_id: str) -> LabelRequest:
        """One request; BadLabels where there is none that can be read."""
        path = self.folder / request_id / REQUEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=LabelRequest)
        except (OSError, msgspec.DecodeError) as error:
            raise BadLabels(f"{path}: no request: {error}") from None

    def attempt(self, request_id: str) -> Path:
        """A new, empty folder to answer it in: what an older attempt still writes harms nothing."""
        place = self.folder / request_id
        number = 1 + max((int(p.name) for p in place.iterdir() if p.name.isdigit()), default=0)
        with storage(place):
            (place / str(number)).mkdir()
        return place / str(number)

    def answer(self, request_id: str, told: dict[str, Any]) -> None:
        """It is answered: keep how."""
        path = self.folder / request_id / ANSWER
        with storage(path):
            write_whole(path, msgspec.json.encode(told))
