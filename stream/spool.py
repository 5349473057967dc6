"""Frames on the producer's disk until their rows are on the writer's.

    DIR/RUN/                        one folder a run, mode 0700, its files 0600
        lock                        held while a producer has it (flock)
        spool.json                  which run this is, and frames dropped but not reported yet
        0000000000000000.blocks     records of consecutive frames; the name is the first's index

A file is written once from begin to end and removed as a whole. Every opening begins a new file:
what a crash tore stays where it is, and the new file's name says where the old one's word ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream.broker import ProducerBroker
from stream.messages import RunSpec
from stream.settings import Settings
from stream.spool_segment import (
    HEADER_BYTES,
    SUFFIX,
    Reader,
    Stretch,
    first_of,
    pack_header,
    segment_path,
    stretches_of,
)
from stream.storage import storage, sync_folder
from xas.errors import EdgestreamError, Reject, RunRefused, StorageFailed

SEGMENT_BYTES = 32 * 2**20
SEGMENTS = 8  # at least so many files in a full spool, so that removing one makes room
DAMAGED = ".damaged"


class SpoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which run a spool belongs to; ``run_id`` is empty until a writer has confirmed it.

    epoch: that of the producer that held it last, 0 where it died before it knew. ``dropped``
    frames were given up and the server has not been told; times are seconds since 1970.
    """

    run: str
    spec: RunSpec
    run_id: str = ""
    epoch: int = 0
    dropped: int = 0
    dropped_first: float = 0.0
    dropped_last: float = 0.0


class SpooledBlock(NamedTuple):
    """An encoded block of frames first, first + 1, ...; only start to end - 1 of it are meant."""

    first: int
    n_frames: int
    payload: bytes
    start: int
    end: int

    @property
    def is_whole(self) -> bool:
        """Whether all of the block is meant."""
        return (self.start, self.end) == (self.first, self.first + self.n_frames)


class Spool:
    """The spool of one run in ``folder``; its only holder until ``close``.

    Raises RunRefused where another producer holds it or it belongs to another run, StorageFailed
    where the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        *,
        settings: Settings,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder / run
        self._max_bytes, self._sync_s = settings.spool_bytes, settings.spool_sync_s
        self._timer = timer
        with storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            self._close_lock = weakref.finalize(self, os.close, _lock(self.folder, run))
        self.record = self._read_record(run)
        self._stretches: list[Stretch] = []
        self._sizes: dict[Path, int] = {}
        self._end, self._safe = 0, 0
        self._fd = -1
        self._unsynced_name = False
        self._next_sync = 0.0
        self._reader: Reader | None = None
        with storage(self.folder):
            self._survey()

    # -- what is there ----------------------------------------------------------------------------

    def _read_record(self, run: str) -> SpoolRecord | None:
        with storage(self.folder):
            try:
                data = (self.folder / "spool.json").read_bytes()
            except FileNotFoundError:
                return None
        try:
            record = msgspec.json.decode(data, type=SpoolRecord)
        except msgspec.DecodeError as error:
            raise Reject(
                f"{self.folder / 'spool.json'} cannot be read ({error}): move the folder away to "
                "begin anew"
            ) from None
        if record.run != run:
            raise RunRefused(f"{self.folder} is the spool of run {record.run!r}, not of {run!r}")
        return record

    def _survey(self) -> None:
        paths = sorted(self.folder.glob(f"*{SUFFIX}"))
        self._sizes = {path: path.stat().st_size for path in paths}
        ends = [first_of(path) for path in paths[1:]] + [None]
        for path, before in zip(paths, ends, strict=False):
            self._stretches += stretches_of(path, before)
        if self._stretches:
            self._end = self._stretches[-1].end

    @property
    def is_empty(self) -> bool:
        """Whether there is no frame in it."""
        return not self._stretches

    @property
    def first(self) -> int:
        """The oldest frame; the next one where there is none."""
        return self._stretches[0].first if self._stretches else self._end

    @property
    def end(self) -> int:
        """The index after the newest frame."""
        return self._end

    @property
    def n_bytes(self) -> int:
        """How much it takes on the disk."""
        return sum(self._sizes.values())

    def reach(self, index: int) -> int:
        """The end of the frames that follow each other from ``index`` on."""
        for stretch in self._stretches:
            if stretch.first <= index < stretch.end:
                index = stretch.end
        return index

    def present(self, index: int) -> tuple[int, int]:
        """The next frames from ``index`` on: the first, and the index after the last."""
        later = [stretch.first for stretch in self._stretches if stretch.end > index]
        first = max(index, later[0]) if later else self._end
        return first, self.reach(first)

    def fits(self, size: int) -> bool:
        """Whether a block may be appended; one larger than the limit may where all is on disk."""
        return self._safe >= self._end or self.n_bytes + HEADER_BYTES + size <= self._max_bytes

    # -- writing ----------------------------------------------------------------------------------

    def keep_record(self, record: SpoolRecord) -> None:
        """Put the record on the disk."""
        path = self.folder / "spool.json"
        with storage(path):
            aside = path.with_suffix(".tmp")
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                _write_all(fd, [msgspec.json.encode(record)], 0)
                os.fsync(fd)
            finally:
                os.close(fd)
            aside.replace(path)
            sync_folder(self.folder)
        self.record = record

    def begin(self, index: int) -> list[Path]:
        """Let the next frame be ``index``; files that held other frames of that index or later.

        They are kept under another name, since what is in them had been accepted.
        """
        aside = [path for path in self._sizes if first_of(path) >= index]
        kept = [path for path in aside if any(s.path == path for s in self._stretches)]
        with storage(self.folder):
            for path in aside:
                path.replace(path.with_suffix(DAMAGED)) if path in kept else path.unlink()
                del self._sizes[path]
        older = [s for s in self._stretches if s.first < index and s.path not in aside]
        self._stretches = [replace(s, end=min(s.end, index)) for s in older]
        self._end = index
        return kept

    def append(self, first: int, n_frames: int, payload: bytes) -> None:
        """Keep a block; StorageFailed, and it is not there, where the disk refuses."""
        assert first == self._end, "a spool has no gaps"
        size = HEADER_BYTES + len(payload)
        with storage(self.folder):
            path = self._file_for(first)
            offset = self._sizes[path]
            try:
                _write_all(self._fd, [pack_header(first, n_frames, payload), payload], offset)
                self._sync_if_due()
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, offset)
                raise
        self._sizes[path] = offset + size
        self._end = first + n_frames
        if offset:
            self._stretches[-1] = replace(self._stretches[-1], end=self._end)
        else:
            self._stretches.append(Stretch(path=path, first=first, end=self._end))

    def _file_for(self, first: int) -> Path:
        """The file that is being written, or the next one."""
        limit = min(SEGMENT_BYTES, self._max_bytes // SEGMENTS)
        if self._fd >= 0:
            path = next(reversed(self._sizes))
            if not self._sizes[path] or self._sizes[path] < limit:
                return path
            self._end_file()
        path = segment_path(self.folder, first)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._unsynced_name = True
        self._sizes[path] = 0
        return path

    def _end_file(self) -> None:
        os.fdatasync(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _sync_if_due(self) -> None:
        if self._timer() >= self._next_sync:
            self._next_sync = self._timer() + self._sync_s
            self._sync()

    def _sync(self) -> None:
        os.fdatasync(self._fd)
        if self._unsynced_name:
            sync_folder(self.folder)
            self._unsynced_name = False

    def sync(self) -> None:
        """Make everything durable."""
        if self._fd >= 0:
            with storage(self.folder):
                self._sync()

    # -- reading ----------------------------------------------------------------------------------

    def read(self, index: int) -> SpooledBlock:
        """The block with a frame; StorageFailed where it is gone or damaged."""
        number = bisect_right(self._stretches, index, key=lambda s: s.first) - 1
        stretch = self._stretches[number] if number >= 0 else None
        if stretch is None or index >= stretch.end:
            raise self._unreadable(index)
        with storage(stretch.path):
            found = self._reader_of(stretch).block_with(index)
        if found is None:
            raise self._unreadable(index)
        header, payload = found
        return SpooledBlock(
            header.first, header.n_frames, payload, index, min(header.end, stretch.end)
        )

    def _reader_of(self, stretch: Stretch) -> Reader:
        if self._reader is None or not self._reader.reads(stretch):
            self._close_reader()
            self._reader = Reader(stretch)
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _unreadable(self, index: int) -> StorageFailed:
        return StorageFailed(
            f"{self.folder}: frame {index} cannot be read (it fails its checksum, or was removed) "
            f"and the server asks for it: resume the run (--resume) and push again from there"
        )

    # -- letting go -------------------------------------------------------------------------------

    def trim(self, watermark: int) -> None:
        """Remove the files whose frames are all on the writer's disk, but never the last one.

        It tells a later opening how far the run had come.
        """
        self._safe = max(self._safe, watermark)
        needed = {s.path for s in self._stretches if s.end > watermark}
        for path in [*self._sizes][:-1]:
            if path in needed:
                return
            self._close_reader()
            with storage(path):
                path.unlink(missing_ok=True)
            del self._sizes[path]
            self._stretches = [s for s in self._stretches if s.path != path]

    def clear(self) -> None:
        """Remove the folder: every frame is on the writer's disk."""
        self.close(unlock=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._close_lock()

    def close(self, *, unlock: bool = True) -> None:
        """Let go of the files; what is in them stays."""
        self._close_reader()
        if self._fd >= 0:
            with storage(self.folder):
                self._sync()
                self._end_file()
        if unlock:
            self._close_lock()


def _write_all(fd: int, parts: list[bytes], offset: int) -> None:
    """Write in one call; what a full disk did not take is tried again, so that it says why."""
    written = os.pwritev(fd, parts, offset)
    while written < sum(map(len, parts)):
        written += os.pwrite(fd, b"".join(parts)[written:], offset + written)


def _lock(folder: Path, run: str) -> int:
    """Hold the folder; RunRefused, naming the holder, where another process does."""
    path = folder / "lock"
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
            os.close(fd)
            raise RunRefused(
                f"{folder} is in use by {holder or 'another producer'} of run {run!r}: end that "
                "one first, or give another folder"
            ) from None
        if _is_there(path, fd):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return fd
        os.close(fd)  # whoever had it has removed the folder


def _is_there(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def recorded_spec(folder: Path, run: str, other: RunSpec) -> RunSpec:
    """What the run in a spool was opened with; ``other`` where there is no spool of it."""
    try:
        data = (folder / run / "spool.json").read_bytes()
        return msgspec.json.decode(data, type=SpoolRecord).spec
    except (OSError, msgspec.DecodeError):
        return other


def clear_finished(folder: Path, broker: ProducerBroker) -> None:
    """Remove the spools of runs that are finished, whose producers did not stay to the end."""
    for path in folder.glob("*/spool.json"):
        with contextlib.suppress(EdgestreamError, msgspec.DecodeError, OSError):
            record = msgspec.json.decode(path.read_bytes(), type=SpoolRecord)
            state = broker.run(record.run)
            if state is None or not state.finished or state.run_id != record.run_id:
                continue
            spool = Spool(folder, record.run, settings=Settings())
            spool.clear() if spool.end <= state.watermark else spool.close()
