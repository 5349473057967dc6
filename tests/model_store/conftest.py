"""Bundles to break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_store.store import BUILTIN


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """A writable copy of the built-in model's folder."""
    folder = tmp_path / "copy"
    shutil.copytree(BUILTIN / "fe-k" / "1", folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder
