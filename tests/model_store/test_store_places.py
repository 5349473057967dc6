"""Stores that are half copied, fixed, full or gone: one clear line each, and nothing spoilt."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mounts
import pytest

from model_store.garbage import collect
from model_store.manifest import CHECK, MODEL
from model_store.store import Store
from model_store.verification import verify
from xas.errors import BadModel, StorageFailed, UnknownModel


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with mounts.small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


def fill(folder: Path, spare: int) -> Path:
    """Fill a disk up to some spare bytes."""
    free = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - spare))
    return filler


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_a_full_disk_refuses_a_put_and_a_promotion_and_spoils_nothing(
    disk: Path, tiny: list[Path]
) -> None:
    store = Store([disk / "store"], builtin=False)
    store.put(tiny[0])
    store.put(tiny[1])
    lines = []
    for spare in range(0, 24_000, 4096):
        filler = fill(disk, spare)
        for change in (lambda: store.put(tiny[2]), lambda: store.promote("tiny", 2, "shadow")):
            try:
                change()
            except StorageFailed as error:
                lines.append(one_line(error))
        filler.unlink()
        assert not list(disk.rglob(".*"))
        assert all(not f.fault for f in verify(store))
    assert any("/tiny/3: " in line for line in lines)
    assert any("/tiny/history/" in line for line in lines)
    assert all(line.endswith("No space left on device; free space there") for line in lines)
    store.promote("tiny", 2)
    assert Store([disk / "store"], builtin=False).resolve("tiny").version == 2


def test_a_store_that_is_read_only_is_read_and_not_changed(disk: Path, tiny: list[Path]) -> None:
    store = Store([disk], builtin=False)
    store.put(tiny[0])
    store.put(tiny[1])
    mounts.mount(disk, "-o", "remount,ro")
    assert Store([disk], builtin=False).get("tiny").manifest.version == 1
    for change in (lambda: store.put(tiny[2]), lambda: store.promote("tiny", 2)):
        with pytest.raises(StorageFailed, match="Read-only file system; is it the right") as told:
            change()
        one_line(told.value)
    assert store.aliases("tiny") == {"champion": 1}


def test_a_worker_goes_on_when_its_store_is_gone_and_says_so_once(
    tmp_path: Path, tiny: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = Store([tmp_path / "store"], builtin=False)
    store.put(tiny[0])
    store.put(tiny[1])
    assert store.resolve("tiny").stale == ""
    (tmp_path / "store").rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        gone = [store.resolve("tiny") for _ in range(3)]
    assert {g.version for g in gone} == {1}
    assert gone[0].stale.startswith(f"the store {tmp_path / 'store'} is gone; going on with")
    assert len(caplog.records) == 1
    (tmp_path / "away").rename(tmp_path / "store")
    assert store.resolve("tiny").stale == ""


def test_a_bundle_half_copied_by_hand_is_not_seen_and_its_number_not_used(
    tmp_path: Path, tiny: list[Path]
) -> None:
    store = Store([tmp_path], builtin=False)
    store.put(tiny[0])
    (tmp_path / "tiny/2").mkdir()
    shutil.copy(tiny[1] / MODEL, tmp_path / "tiny/2")
    assert store.versions("tiny") == [1]
    with pytest.raises(UnknownModel, match="has no '2'; it has 1, champion"):
        store.get("tiny@2")
    assert store.put(tiny[2]) == 3
    os.utime(tmp_path / "tiny/2", (0, 0))
    os.utime(tmp_path / "tiny/2" / MODEL, (0, 0))
    faults = {f.subject: f.fault for f in verify(store) if f.fault}
    assert faults == {"tiny/2": "half a copy, which nobody sees; edgestream models gc"}
    assert collect(store, "tiny").leftovers == ["2"]
    assert not (tmp_path / "tiny/2").exists()


def test_a_bundle_of_which_a_file_is_missing_is_named(tmp_path: Path, tiny: list[Path]) -> None:
    store = Store([tmp_path], builtin=False)
    store.put(tiny[0])
    (tmp_path / "tiny/1" / CHECK).unlink()
    with pytest.raises(BadModel, match=r"tiny/1/check.npz: cannot be read .* put it into"):
        store.get("tiny")
    assert "check.npz: cannot be read" in next(iter(verify(store))).fault


def test_an_alias_to_nothing_is_named_with_what_to_do(tmp_path: Path, tiny: list[Path]) -> None:
    store = Store([tmp_path], builtin=False)
    for folder in tiny:
        store.put(folder)
    store.promote("tiny", 3)
    shutil.rmtree(tmp_path / "tiny/3")
    with pytest.raises(UnknownModel, match="stands for version 3, which is not there; it has 1"):
        Store([tmp_path], builtin=False).get("tiny")
    assert {f.subject: f.fault for f in verify(store) if f.fault} == {
        "tiny@champion": "version 3 is not there; promote one"
    }
    assert store.rollback("tiny").after == 1
    assert store.get("tiny").manifest.version == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"number": 7, "action": "promote"}'])
def test_a_torn_history_is_named_and_never_guessed_at(
    tmp_path: Path, tiny: list[Path], content: bytes
) -> None:
    store = Store([tmp_path], builtin=False)
    store.put(tiny[0])
    store.put(tiny[1])
    entry = tmp_path / "tiny/history/00000001.json"
    entry.chmod(0o644)
    entry.write_bytes(content)
    with pytest.raises(BadModel, match=r"history/00000001.json: ") as told:
        Store([tmp_path], builtin=False).resolve("tiny")
    one_line(told.value)


def test_a_file_where_the_history_should_be_is_refused(tmp_path: Path, tiny: list[Path]) -> None:
    store = Store([tmp_path], builtin=False)
    store.put(tiny[0])
    (tmp_path / "tiny/history").write_text("in the way")
    with pytest.raises(StorageFailed, match="history is a file"):
        store.promote("tiny", 1)


def test_the_models_that_come_with_edgestream_are_never_changed(tiny: list[Path]) -> None:
    store = Store([])
    for change in (
        lambda: store.put(tiny[0]),
        lambda: store.promote("fe-k", store.versions("fe-k")[0]),
    ):
        with pytest.raises(StorageFailed, match="come with edgestream stay as they are"):
            change()
