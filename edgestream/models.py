"""Which models there are: the user's folder first, then those that come with edgestream."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from model_store.store import Store
from workers.predictor import Predictor


def user_folder() -> Path:
    """Where this user's models lie: $EDGESTREAM_MODELS, or the usual place for data."""
    named = os.environ.get("EDGESTREAM_MODELS")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "edgestream" / "models"


def open_store(folder: Path | None = None) -> Store:
    """The store with ``folder`` (default: the user's) before the built-in models."""
    return Store([folder or user_folder()])


@lru_cache(maxsize=4)
def load_predictor(reference: str, folder: Path | None = None, device: str = "cpu") -> Predictor:
    """A predictor, kept for the next call with the same words."""
    return Predictor(open_store(folder).get(reference), device=device)
