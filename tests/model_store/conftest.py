"""Bundles to break, and places to put them: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundles import make_bundle

from model_store.local_shelf import LocalShelf
from model_store.shelf import Shelf
from model_store.store import BUILTIN, Store

PATIENCE_S = 60.0


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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of moto's S3 server, in a process of its own."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("moto's server did not start")


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty folder in a bucket, with what a user would have in the environment."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = s3fs.S3FileSystem()
    if not bucket.exists("models"):
        bucket.mkdir("models")
    return f"s3://models/{uuid.uuid4().hex}"


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
