"""The requests of an archive, looked at again and again: each is read once, little is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Self

from trainer.label_request import ANSWER, RequestFolder
from xas.errors import BadLabels


class Asked(NamedTuple):
    """A request without its structure; ``t_asked``: s since 1970, ``uncertainty``: a part of 1."""

    t_asked: float
    id: str
    name: str
    edge: str
    n_atoms: int
    novelty: float
    uncertainty: float


class RequestWatch:
    """Which requests are open and which are answered, as of the last ``look``; for one thread.

    A folder without a readable request is none; requests that were removed are forgotten.
    """

    def __init__(self, archive: Path) -> None:
        self._requests = RequestFolder(archive)
        self.open: dict[str, Asked] = {}
        self.answered: dict[str, Asked] = {}

    def look(self) -> Self:
        """Find new requests, and new answers to the open ones."""
        there = self._names()
        for known in (self.open, self.answered):
            for gone in known.keys() - there:
                del known[gone]
        for new in there - self.open.keys() - self.answered.keys():
            self._read(new)
        for request in list(self.open):
            if (self._requests.folder / request / ANSWER).exists():
                self.answered[request] = self.open.pop(request)
        return self

    def newest(self, most: int) -> list[Asked]:
        """Open ones first, of each kind those that were asked for last."""
        return [
            *sorted(self.open.values(), reverse=True),
            *sorted(self.answered.values(), reverse=True),
        ][:most]

    def _names(self) -> set[str]:
        try:
            with os.scandir(self._requests.folder) as found:
                return {entry.name for entry in found if entry.is_dir()}
        except FileNotFoundError:
            return set()  # nobody has asked yet

    def _read(self, request: str) -> None:
        try:
            r = self._requests.read(request)
        except BadLabels:
            return  # it is being written
        n_atoms = len(r.numbers)
        self.open[request] = Asked(
            r.t_asked, request, r.name, r.edge, n_atoms, r.novelty, r.uncertainty
        )
