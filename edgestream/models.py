"""Which models there are: the user's store first, then those that come with edgestream."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from model_store.store import Store

if TYPE_CHECKING:
    from model_store.shelf import Shelf
    from workers.predictor import Predictor

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)")


def user_place() -> str:
    """Where this user's models lie: $EDGESTREAM_MODELS, or the usual place for data."""
    named = os.environ.get("EDGESTREAM_MODELS")
    return named or str(_usual("XDG_DATA_HOME", ".local/share") / "models")


def cache_folder() -> Path:
    """Where copies of remote models lie: $EDGESTREAM_CACHE, or the usual place for caches."""
    named = os.environ.get("EDGESTREAM_CACHE")
    return Path(named) if named else _usual("XDG_CACHE_HOME", ".cache") / "models"


def open_store(place: Path | str | None = None) -> Store:
    """The store in a folder or behind a URL (default: the user's), before the built-in models."""
    named = str(place or user_place())
    url = _URL.fullmatch(named)
    if url and url[1] == "file":
        return _store(Path("/", url[2]))
    if url:
        from model_store.remote_shelf import RemoteShelf

        return _store(RemoteShelf(f"{url[1]}://{url[2]}", cache_folder()))
    return _store(Path(named))


def _store(place: Path | Shelf) -> Store:
    """Only signed models where $EDGESTREAM_MODEL_KEYS names a folder of public keys."""
    folder = os.environ.get("EDGESTREAM_MODEL_KEYS")
    if not folder:
        return Store([place])
    from model_store.signature import TrustedKeys

    return Store([place], require_signed=TrustedKeys(Path(folder)))


@lru_cache(maxsize=4)
def load_predictor(
    reference: str, place: Path | str | None = None, device: str = "cpu"
) -> Predictor:
    """A predictor, kept for the next call with the same words."""
    from workers.predictor import Predictor  # with its kernel: most who look for a model need none

    return Predictor(open_store(place).get(reference), device=device)


def _usual(variable: str, otherwise: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / otherwise) / "edgestream"
