"""Bytes from a file, a compressed file, or standard input, block by block."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import select
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol

from xas.errors import BadTrajectory

_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}
_COMPRESSED = {".gz", ".bz2", ".xz"}


class ByteSource(Protocol):
    """Where the lines of a text trajectory come from.

    damage  after the end: why it may not be the real one; empty where it is
    """

    damage: str

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for the first one; nothing at the end."""
        ...

    def ready(self) -> bool:
        """Whether `read` would answer without waiting."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class FileBytes:
    """A file, unpacked on the way where it is gzip, bzip2 or xz."""

    def __init__(self, path: Path) -> None:
        self._file = open_unpacked(path)
        self.damage = ""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end; packed data ends where it is cut or damaged."""
        parts: list[bytes] = []
        left = size
        try:
            while left and (part := self._file.read1(left)):
                parts.append(part)
                left -= len(part)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            self.damage = str(error)
        return b"".join(parts)

    def ready(self) -> bool:
        """Return True: a file never waits."""
        return True

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class PipeBytes:
    """A pipe such as standard input: hands out what is there."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._is_new = True
        self.damage = ""

    def read(self, size: int) -> bytes:
        """Return what the pipe holds, up to `size` bytes, waiting for the first one."""
        block = os.read(self._descriptor, size)
        if self._is_new and block[:2] in _OPENERS:
            raise BadTrajectory("standard input is packed; unpack it on the way, e.g. with zcat")
        self._is_new = False
        return block

    def ready(self) -> bool:
        """Whether something, or the end, has arrived."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def close(self) -> None:
        """Leave the pipe to its owner."""


def open_unpacked(path: Path) -> BufferedIOBase:
    """Open a file for reading, through the decompressor that its first bytes ask for."""
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2), open)
    opened: BufferedIOBase = opener(path, "rb")
    return opened


def is_packed(path: Path) -> bool:
    """Whether the first bytes are those of gzip, bzip2 or xz."""
    with path.open("rb") as file:
        return file.read(2) in _OPENERS


def inner_name(path: Path) -> str:
    """The file's name without its .gz, .bz2 or .xz."""
    return path.stem if path.suffix.lower() in _COMPRESSED else path.name


def unpacked_size(path: Path) -> int | None:
    """Bytes after unpacking, where that is cheap to know (gzip: modulo 4 GiB)."""
    with path.open("rb") as file:
        magic = file.read(2)
        if magic not in _OPENERS:
            return path.stat().st_size
        if magic != b"\x1f\x8b" or path.stat().st_size < 18:
            return None
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


@contextmanager
def unpacked_file(path: Path) -> Iterator[Path]:
    """Give a plain file: the file itself, or a temporary one that goes away afterwards."""
    if not is_packed(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgestream-") as folder:
        plain = Path(folder) / inner_name(path)
        try:
            with open_unpacked(path) as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise BadTrajectory(
                f"{path}: cannot be unpacked ({error}); unpack it by hand"
            ) from None
        yield plain
