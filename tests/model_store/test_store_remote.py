"""A store in a bucket: copies by SHA-256, a server that is away, and servers that will not do."""

from __future__ import annotations

import hashlib
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_store.manifest import MANIFEST, MODEL
from model_store.remote_shelf import RemoteShelf
from model_store.store import Store
from xas.errors import BadModel, Reject, StorageFailed, StoreUnreachable

HERE = Path(__file__).parent
Open = Callable[[], Store]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def open_store(s3_url: str, cache: Path) -> Open:
    return lambda: Store([RemoteShelf(s3_url, cache)], builtin=False)


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """From the call on, there is no server at the address."""
    s3fs = pytest.importorskip("s3fs")

    def leave() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
        s3fs.S3FileSystem.clear_instance_cache()

    yield leave
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_bundle_is_fetched_once_and_kept_by_the_hash_of_its_manifest(
    open_store: Open, cache: Path, tiny: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().put(tiny[0])
    bundle = open_store().get("tiny")
    manifest = (bundle.folder / MANIFEST).read_bytes()
    assert bundle.folder == cache / "bundles" / hashlib.sha256(manifest).hexdigest()
    read: list[str] = []
    get = RemoteShelf._get

    def noted(shelf: RemoteShelf, path: str, limit: int | None = None) -> bytes | None:
        read.append(path.rpartition("/")[2])
        return get(shelf, path, limit)

    monkeypatch.setattr(RemoteShelf, "_get", noted)
    assert open_store().get("tiny").folder == bundle.folder
    assert MANIFEST in read
    assert MODEL not in read


def test_a_copy_that_was_damaged_is_fetched_again(open_store: Open, tiny: list[Path]) -> None:
    open_store().put(tiny[0])
    model = open_store().get("tiny").folder / MODEL
    model.chmod(0o644)
    model.write_bytes(b"damaged")
    assert open_store().get("tiny").model() == (tiny[0] / MODEL).read_bytes()


def test_what_was_damaged_in_the_bucket_is_refused(
    open_store: Open, s3_url: str, tiny: list[Path]
) -> None:
    import s3fs

    open_store().put(tiny[0])
    s3fs.S3FileSystem().pipe_file(f"{s3_url}/tiny/1/{MODEL}", b"damaged")
    with pytest.raises(BadModel, match=r"model.onnx: does not match its SHA-256"):
        open_store().get("tiny")
    s3fs.S3FileSystem().rm_file(f"{s3_url}/tiny/1/{MODEL}")
    with pytest.raises(BadModel, match=r"s3://models/.*/tiny/1/model.onnx: is not there"):
        open_store().get("tiny")


def test_a_worker_goes_on_and_a_new_one_starts_when_the_server_is_away(
    open_store: Open,
    tiny: list[Path],
    nobody_there: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = open_store()
    store.put(tiny[0])
    store.put(tiny[1])
    store.promote("tiny", 2)
    store.get("tiny")
    nobody_there()
    with caplog.at_level(logging.WARNING, "edgestream"):
        new = open_store()
        found = new.resolve("tiny")
        assert new.get("tiny").manifest.version == 2
    assert (found.version, found.token) == (2, "2")
    assert "cannot be used: Could not connect" in found.stale
    assert "going on with what is known here" in found.stale
    assert len([r for r in caplog.records if r.name == "edgestream.models"]) == 1
    with pytest.raises(StoreUnreachable, match="nothing was changed") as told:
        new.promote("tiny", 2, "shadow")
    assert "\n" not in str(told.value)


def test_what_was_never_fetched_is_refused_in_one_line_when_the_server_is_away(
    open_store: Open, cache: Path, tiny: list[Path], nobody_there: Callable[[], None]
) -> None:
    open_store().put(tiny[0])
    nobody_there()
    with pytest.raises(StoreUnreachable, match=r"the store s3://models/.* cannot be used") as told:
        open_store().get("tiny")
    assert "\n" not in str(told.value)


def test_a_model_that_nobody_moved_is_found_when_the_server_is_away(
    open_store: Open, tiny: list[Path], nobody_there: Callable[[], None]
) -> None:
    open_store().put(tiny[0])
    open_store().get("tiny")
    nobody_there()
    assert open_store().get("tiny").manifest.version == 1


def test_a_bucket_that_is_not_there_is_said_to_be(s3_url: str, cache: Path) -> None:
    with pytest.raises(StoreUnreachable, match="The specified bucket does not exist"):
        Store([RemoteShelf("s3://nobody-s-bucket/models", cache)], builtin=False).names()


def test_a_server_that_ignores_conditions_is_not_written_to(
    s3_server: str, s3_url: str, cache: Path, tiny: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    command = [sys.executable, str(HERE / "forgetful_server.py"), s3_server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{int(server.stdout.readline())}")
        s3fs.S3FileSystem.clear_instance_cache()
        store = Store([RemoteShelf(s3_url, cache)], builtin=False)
        with pytest.raises(Reject, match="this server ignores If-None-Match") as told:
            store.put(tiny[0])
        server.terminate()
    s3fs.S3FileSystem.clear_instance_cache()
    assert "\n" not in str(told.value)


def test_other_file_systems_are_read_and_not_written_to(cache: Path, tiny: list[Path]) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(tiny[0]), "/shelf/tiny/1", recursive=True)
    store = Store([RemoteShelf("memory://shelf", cache)], builtin=False)
    assert store.get("tiny").reference == "tiny@1"
    with pytest.raises(Reject, match="memory:// cannot tell two operators at once apart"):
        store.put(tiny[1])


def test_a_url_that_nobody_knows_is_refused(cache: Path) -> None:
    with pytest.raises(Reject, match=r"nowhere://models: not a place that fsspec knows"):
        Store([RemoteShelf("nowhere://models", cache)], builtin=False).names()


def test_a_cache_that_cannot_be_written_is_named(
    open_store: Open, cache: Path, tiny: list[Path]
) -> None:
    open_store().put(tiny[0])
    if cache.exists():
        cache.rename(cache.with_name("before"))
    cache.write_text("in the way")
    with pytest.raises(StorageFailed, match=r"cache is a file"):
        open_store().get("tiny")


def test_the_command_line_takes_a_url_for_a_store(
    s3_url: str, cache: Path, tiny: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESTREAM_CACHE", str(cache))
    command = [sys.executable, "-m", "edgestream", "models", "put", str(tiny[0])]
    done = subprocess.run(
        [*command, "--models", s3_url], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stored as tiny@1\n", "")
