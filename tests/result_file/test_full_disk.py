"""A disk that is full stops the writer and spoils nothing."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mounts
import pytest
from made_rows import HEADER, RUN, Clock, assert_same_rows, make_rows, rows_in

from stream.result_file.run_folder import RunFolder
from stream.result_file.survey import survey
from xas.errors import StorageFailed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with mounts.small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


def fill(folder: Path, spare: int) -> Path:
    """Fill a disk up to some spare bytes."""
    disk = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(b"x" * max(0, disk.f_bavail * disk.f_frsize - spare))
    return filler


def recover(folder: Path, epoch: int = 1) -> RunFolder:
    run = RunFolder.recover(
        folder, RUN, header=HEADER, epoch=epoch, clock=Clock(), grace_s=0, refresh_s=0
    )
    run.add_model("fe-k", "1", "ab" * 32)
    return run


@pytest.mark.usefixtures("few_segments")
def test_a_full_disk_leaves_everything_valid_and_writing_goes_on_with_space(
    small_disk: Path,
) -> None:
    run, failures = recover(small_disk), []
    for spare in range(0, 120_000, 4096):  # fails in every write there is: rows, merge, main file
        rows = make_rows(run.n_frames, 20)
        filler = fill(small_disk, spare)
        try:
            run.append(rows)
            run.refresh(force=True)
        except StorageFailed as error:
            failures.append(str(error))
        assert not list(small_disk.rglob("*.tmp"))
        run.check()
        assert survey(small_disk, RUN).n_frames == run.n_frames
        filler.unlink()
        if run.n_frames == rows.first_index:
            run.append(rows)
        run.refresh(force=True)
        assert_same_rows(rows_in(run.path), make_rows(0, run.n_frames))
    assert 5 < len(failures) < 30
    for line in failures:
        assert line.startswith(f"cannot write {small_disk}")
        assert "No space left on device; free space there" in line


def test_a_disk_that_is_too_full_for_the_final_copy_keeps_the_growing_file(
    small_disk: Path,
) -> None:
    run = recover(small_disk)
    run.append(make_rows(0, 1000))
    run.refresh(force=True)
    for spare in range(0, 200_000, 20_480):
        filler = fill(small_disk, spare)
        with pytest.raises(StorageFailed, match="free space there"):
            run.finish(sealed=True)
        filler.unlink()
        assert_same_rows(rows_in(run.path), make_rows(0, 1000))
    assert_same_rows(rows_in(run.finish(sealed=True)), make_rows(0, 1000))
    assert sorted(path.name for path in small_disk.iterdir()) == [f"{RUN}.h5"]


@pytest.mark.parametrize("step", ["fsync", "rename", "pwrite", "open"])
def test_any_step_that_the_disk_refuses_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = recover(tmp_path)
    run.append(make_rows(0, 5))

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse)
        with pytest.raises(StorageFailed, match="disk reports errors"):
            run.append(make_rows(5, 5))
    assert run.n_frames == 5
    assert survey(tmp_path, RUN).n_frames == 5
    run.append(make_rows(5, 5))
    assert_same_rows(rows_in(run.finish(sealed=True)), make_rows(0, 10))


@pytest.mark.parametrize("step", ["pwrite", "preadv", "open"])
def test_a_disk_that_takes_no_direct_writes_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    call, refused = getattr(os, step), []

    def refuse_direct(first: Any, second: Any, *more: Any) -> Any:
        flags = second if step == "open" else fcntl.fcntl(first, fcntl.F_GETFL)
        if flags & os.O_DIRECT:
            refused.append(first)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return call(first, second, *more)

    monkeypatch.setattr(os, step, refuse_direct)
    run = recover(tmp_path)
    for first in range(0, 50, 10):
        run.append(make_rows(first, 10))
    assert_same_rows(rows_in(run.finish(sealed=True)), make_rows(0, 50))
    assert refused


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="file"):
        recover(tmp_path / "file" / "out")
