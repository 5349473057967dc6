"""Bundles to break, and places to put them: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import make_bundle

from model_store.local_shelf import LocalShelf
from model_store.shelf import Shelf
from model_store.store import BUILTIN, Store


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """A writable copy of the built-in model's folder."""
    folder = tmp_path / "copy"
    shutil.copytree(BUILTIN / "fe-k" / "1", folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three small models of one name, each with other weights."""
    root = tmp_path_factory.mktemp("tiny")
    return [make_bundle(root / str(seed), seed=seed).folder for seed in range(3)]


@pytest.fixture(params=["folder", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Shelf]:
    """Opens one and the same shelf, again and again, as other processes would."""
    if request.param == "folder":
        return lambda: LocalShelf(tmp_path / "store")
    from model_store.remote_shelf import RemoteShelf

    url = request.getfixturevalue("s3_url")
    return lambda: RemoteShelf(url, tmp_path / "cache")


@pytest.fixture
def open_store(shelf: Callable[[], Shelf]) -> Callable[[], Store]:
    """Opens one and the same store, as other processes would."""
    return lambda: Store([shelf()], builtin=False, clock=lambda: 1.8e9)
