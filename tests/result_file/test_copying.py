"""A copy of a run that grows is one whole file, whatever its writer does meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import h5py
import pytest
from made_rows import RUN, OpenRun, assert_same_rows, make_rows, rows_in

from stream.result_file import RunFolder
from stream.result_file.copying import copy_run
from stream.result_file.verify import verify
from xas.errors import BadResultFile, OutputExists


@pytest.fixture
def growing(open_run: OpenRun) -> RunFolder:
    folder = open_run(grace_s=0.0)
    for first in range(0, 30, 10):
        folder.append(make_rows(first, 10))
    folder.refresh(force=True)
    return folder


def test_a_copy_opens_alone_with_plain_h5py(growing: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    copy = copy_run(growing.path, tmp_path / "away")
    assert copy == tmp_path / "away" / f"{RUN}.h5"
    with h5py.File(copy) as file:
        assert not file["entry/intensity"].is_virtual
    assert verify(copy).faults == []
    assert_same_rows(rows_in(copy), make_rows(0, 30))


def test_a_copy_can_be_resumed(growing: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    copy_run(growing.path, tmp_path / "away")
    folder = RunFolder.recover(tmp_path / "away", RUN, header=growing.header, epoch=9)
    folder.append(make_rows(30, 10))
    assert_same_rows(rows_in(folder.finish(sealed=True)), make_rows(0, 40))


def test_a_finished_run_is_copied_byte_by_byte(growing: RunFolder, tmp_path: Path) -> None:
    path = growing.finish(sealed=True)
    assert copy_run(path, tmp_path / "c.h5").read_bytes() == path.read_bytes()


def test_copies_and_checks_are_whole_while_the_writer_merges_and_sweeps(
    growing: RunFolder, few_segments: None, tmp_path: Path
) -> None:
    over, frames = threading.Event(), []

    def look() -> None:
        while not over.is_set() or not frames:
            verdict = verify(copy_run(growing.path, tmp_path / "c.h5", overwrite=True))
            frames.append((verdict.frames, verdict.faults, verify(growing.path).faults))

    reader = threading.Thread(target=look)
    reader.start()
    for first in range(30, 530, 10):
        growing.append(make_rows(first, 10))
        growing.refresh(force=True)
    growing.finish(sealed=True)
    over.set()
    reader.join()
    assert all(not mine and not theirs for _, mine, theirs in frames), frames
    assert [n for n, _, _ in frames] == sorted(n for n, _, _ in frames)


def test_dead_letters_go_with_their_run(growing: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    growing.path.with_suffix(".dead").write_bytes(b"letters" * 2000)
    growing.path.with_suffix(".answers").write_bytes(b"")
    copy = copy_run(growing.path, tmp_path / "away")
    assert copy.with_suffix(".dead").read_bytes() == b"letters" * 2000
    assert copy.with_suffix(".answers").read_bytes() == b""


def test_nothing_is_overwritten_and_no_gap_is_copied(growing: RunFolder, tmp_path: Path) -> None:
    target = tmp_path / "c.h5"
    target.write_text("mine")
    with pytest.raises(OutputExists):
        copy_run(growing.path, target)
    with pytest.raises(OutputExists):
        copy_run(growing.path, growing.path, overwrite=True)
    next(growing.path.with_suffix(".segments").glob("*-000000010-*.h5")).unlink()
    with pytest.raises(BadResultFile, match="is missing; edgestream runs repair"):
        copy_run(growing.path, target, overwrite=True)
    assert target.read_text() == "mine"
