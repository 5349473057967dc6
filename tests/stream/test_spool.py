"""The spool on the disk: what is in it after whatever happened to it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mounts
import pytest
from clocks import Clock
from rigs import SPEC

from stream.settings import Settings
from stream.spool import Spool, SpoolRecord
from stream.spool_segment import HEADER_BYTES
from xas.errors import Reject, RunRefused, StorageFailed

SETTINGS = Settings(spool_bytes=8000)  # files of 1000 bytes
SIZE = 300  # of a block; four of them end a file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    with mounts.small_disk(tmp_path / "disk", "64k") as folder:
        yield folder


def opened(folder: Path, settings: Settings = SETTINGS) -> Spool:
    return Spool(folder, "md", settings=settings, timer=Clock())


def payload(first: int, n: int = 2) -> bytes:
    return (b"frames %d to %d " % (first, first + n)).ljust(SIZE, b".")


def fill(spool: Spool, n_blocks: int) -> None:
    for _ in range(n_blocks):
        spool.append(spool.end, 2, payload(spool.end))


def filled(folder: Path, n_blocks: int) -> Spool:
    """A spool of blocks of two frames, closed and opened again."""
    spool = opened(folder)
    fill(spool, n_blocks)
    spool.close()
    return opened(folder)


def assert_holds(spool: Spool, first: int, end: int) -> None:
    for index in range(first, end):
        block = spool.read(index)
        assert block.first == index - index % 2
        assert block.payload == payload(block.first)


def damage(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def files(spool: Spool) -> list[Path]:
    return sorted(spool.folder.glob("*.blocks"))


def test_what_was_appended_is_read_again_in_any_order_before_and_after_opening(
    tmp_path: Path,
) -> None:
    spool = opened(tmp_path)
    fill(spool, 10)
    assert_holds(spool, 0, 20)
    spool.close()
    spool = opened(tmp_path)
    assert (spool.first, spool.end, spool.reach(0)) == (0, 20, 20)
    for index in (19, 0, 7, 8, 3):
        assert_holds(spool, index, index + 1)
    assert spool.begin(20) == []
    fill(spool, 3)
    assert_holds(spool, 0, 26)
    spool.close()


def test_folder_and_files_are_the_users_alone(tmp_path: Path) -> None:
    spool = filled(tmp_path, 5)
    spool.keep_record(SpoolRecord(run="md", spec=SPEC))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in spool.folder.iterdir()}
    assert (stat.S_IMODE(spool.folder.stat().st_mode), modes) == (0o700, {0o600})
    spool.close()


def test_one_block_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, writes, pwritev = opened(tmp_path), [], os.pwritev

    def count(fd: int, parts: list[bytes], offset: int) -> int:
        writes.append(len(parts))
        return pwritev(fd, parts, offset)

    monkeypatch.setattr(os, "pwritev", count)
    fill(spool, 7)
    assert len(writes) == 7
    spool.close()


@pytest.mark.parametrize(("sync_s", "syncs"), [(0.0, 5), (10.0, 1)])
def test_the_disk_is_asked_to_keep_it_as_often_as_the_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync_s: float, syncs: int
) -> None:
    spool = opened(tmp_path, replace(SETTINGS, spool_sync_s=sync_s, spool_bytes=10**6))
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    fill(spool, 5)
    assert len(synced) == syncs
    spool.sync()
    assert len(synced) == syncs + 1
    spool.close()


def test_trimming_removes_whole_files_but_never_the_last(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 12)
    before = len(files(spool))
    spool.trim(7)
    assert len(files(spool)) == before
    spool.trim(8)
    assert (spool.first, len(files(spool))) == (8, before - 1)
    assert_holds(spool, 8, 24)
    spool.trim(24)
    assert len(files(spool)) == 1
    spool.close()
    assert opened(tmp_path).end == 24


def test_a_full_spool_fits_nothing_until_it_is_trimmed(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    while spool.fits(SIZE):
        fill(spool, 1)
    assert 8000 - SIZE - HEADER_BYTES < spool.n_bytes <= 8000
    spool.trim(8)
    assert spool.fits(SIZE)
    spool.trim(spool.end)
    assert spool.fits(10**9), "a block above the limit passes where nothing has to be kept"
    spool.close()


@pytest.mark.parametrize("cut", [1, SIZE - 1, SIZE + 1, SIZE + HEADER_BYTES - 1])
def test_a_torn_last_record_was_never_there(tmp_path: Path, cut: int) -> None:
    spool = filled(tmp_path, 6)
    last = files(spool)[-1]
    spool.close()
    os.truncate(last, last.stat().st_size - cut)
    spool = opened(tmp_path)
    assert (spool.end, spool.reach(0)) == (10, 10)
    spool.begin(10)
    fill(spool, 2)
    assert_holds(spool, 0, 14)
    spool.close()
    again = opened(tmp_path)
    assert_holds(again, 0, 14)
    again.close()


@pytest.mark.parametrize("where", [0, 9, 20, 30, HEADER_BYTES, HEADER_BYTES + SIZE - 1])
def test_a_flipped_bit_costs_one_block_and_is_never_read(tmp_path: Path, where: int) -> None:
    spool = filled(tmp_path, 6)
    first = files(spool)[0]
    spool.close()
    damage(first, HEADER_BYTES + SIZE + where)
    spool = opened(tmp_path)
    assert (spool.reach(0), spool.reach(4), spool.end) == (2, 12, 12)
    for index in (2, 3):
        with pytest.raises(StorageFailed, match=rf"frame {index} cannot be read.*--resume"):
            spool.read(index)
    assert_holds(spool, 4, 12)
    spool.close()


def test_a_bit_that_flips_while_the_spool_is_open_is_noticed(tmp_path: Path) -> None:
    spool = filled(tmp_path, 6)
    damage(files(spool)[0], HEADER_BYTES + 5)
    with pytest.raises(StorageFailed, match="frame 1 cannot be read"):
        spool.read(1)
    assert_holds(spool, 2, 12)
    spool.close()


def test_frames_behind_damage_that_have_to_be_pushed_again_are_set_aside(tmp_path: Path) -> None:
    spool = filled(tmp_path, 12)
    first, second, third = files(spool)
    damage(first, HEADER_BYTES + SIZE + 40)
    spool.close()
    spool = opened(tmp_path)
    assert spool.begin(spool.reach(0)) == [second, third]
    assert sorted(p.suffix for p in spool.folder.glob("0*")) == [".blocks", ".damaged", ".damaged"]
    fill(spool, 9)
    assert_holds(spool, 0, 20)
    spool.close()
    again = opened(tmp_path)
    assert (again.end, again.reach(0)) == (20, 20)
    again.close()


def test_a_spool_has_one_holder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom stream.settings import Settings\n"
        "from stream.spool import Spool\n"
        "s = Spool(pathlib.Path(sys.argv[1]), 'md', settings=Settings())\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(RunRefused, match=rf"in use by process {holder.pid} on .*end that one"):
        opened(tmp_path)
    holder.kill()
    holder.communicate()
    opened(tmp_path).close()


def test_a_full_disk_refuses_the_block_and_keeps_the_others(small_disk: Path) -> None:
    spool = opened(small_disk, Settings(spool_bytes=80_000))
    with pytest.raises(StorageFailed, match="No space left on device; free space there"):
        fill(spool, 1000)
    n = spool.end
    assert n > 200
    with pytest.raises(StorageFailed):
        fill(spool, 1)
    assert spool.end == n
    spool.trim(100)
    fill(spool, 3)
    assert_holds(spool, 100, n + 6)
    spool.close()
    again = opened(small_disk)
    assert again.end == n + 6
    assert_holds(again, 100, n + 6)
    again.close()


def test_a_folder_that_cannot_be_written_is_named(small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    with pytest.raises(StorageFailed, match=f"cannot write {small_disk}/md: Read-only file system"):
        opened(small_disk)


def test_a_record_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.keep_record(SpoolRecord(run="other", spec=SPEC))
    spool.close()
    with pytest.raises(RunRefused, match="spool of run 'other', not of 'md'"):
        opened(tmp_path)
    (tmp_path / "md" / "spool.json").write_text("{")
    with pytest.raises(Reject, match=r"spool\.json cannot be read"):
        opened(tmp_path)
