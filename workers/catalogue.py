"""What a run's model reference stands for at this moment, and the predictors of fixed versions."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from model_store.aliases import CHALLENGER, CHAMPION, SHADOW
from model_store.manifest import MANIFEST
from model_store.shelf import is_version
from model_store.store import Resolved, Store
from workers.predictor import Predictor
from xas.errors import UnknownModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Fixed references (``name@version``, or a path) for one reference.

    champion    what predicts
    challenger  what predicts ``share`` (0 to 1) of the frames instead; empty: nothing
    shadow      what predicts beside it, only to be compared; empty: nothing
    stale       why this is what was known last; empty: it is how things stand
    """

    champion: str
    challenger: str = ""
    share: float = 0.0
    shadow: str = ""
    stale: str = ""


class Catalogue(Protocol):
    """Where models are found; one object a thread."""

    def choose(self, reference: str) -> Choice:
        """What it stands for now; the same object while nothing moved. Raises UnknownModel."""

    def load(self, fixed: str) -> Predictor:
        """A predictor of a fixed reference; raises UnknownModel, BadModel, StoreUnreachable."""


class StoreCatalogue:
    """The catalogue of a store."""

    def __init__(self, store: Store, device: str = "cpu") -> None:
        self._store, self._device = store, device
        self._known: dict[str, tuple[Resolved, Choice]] = {}

    def choose(self, reference: str) -> Choice:
        """See Catalogue. Only the champion has a challenger and a shadow beside it."""
        if is_fixed(reference):
            return Choice(champion=reference)
        name, _, which = reference.partition("@")
        found = self._store.resolve(name, which or CHAMPION)
        resolved, choice = self._known.get(reference, (None, None))
        if resolved is not found or choice is None:
            choice = self._choice(found, choice)
            self._known[reference] = found, choice
        return choice

    def _choice(self, found: Resolved, before: Choice | None) -> Choice:
        if found.stale and before is not None:
            return replace(before, stale=found.stale)
        if found.which != CHAMPION:
            return Choice(champion=found.reference, stale=found.stale)
        challenger, shadow = self._beside(found, CHALLENGER), self._beside(found, SHADOW)
        takes_part = challenger is not None and challenger.share > 0.0
        return Choice(
            champion=found.reference,
            challenger=challenger.reference if challenger and takes_part else "",
            share=challenger.share if challenger else 0.0,
            shadow=shadow.reference if shadow else "",
            stale=found.stale,
        )

    def _beside(self, champion: Resolved, which: str) -> Resolved | None:
        """What another alias stands for, if it is another version."""
        try:
            found = self._store.resolve(champion.name, which)
        except UnknownModel:
            return None
        return None if found.version == champion.version else found

    def load(self, fixed: str) -> Predictor:
        """See Catalogue."""
        return Predictor(self._store.get(fixed), device=self._device)


@lru_cache(maxsize=256)
def is_fixed(reference: str) -> bool:
    """Whether no move of an alias can change what it stands for: a version, or a bundle's path."""
    if os.sep in reference or (Path(reference) / MANIFEST).is_file():
        return True
    return is_version(reference.partition("@")[2])
