"""ASE's binary trajectories: positions and cells, without building an Atoms for every frame.

Layout: ULM (https://ase-lib.org/ase/io/ulm.html): arrays, and for each frame an entry in JSON that
says where its arrays are. An entry that is not plain is read by ASE itself.
"""

from __future__ import annotations

import json
import math
import os
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.sources.ase_frames import ase_reader, time_in
from stream.sources.frame_file import FrameFile, quietly
from stream.sources.frames import ParsedFrame
from xas.errors import BadTrajectory

_HEAD = struct.Struct("<8s16s3q")
_ENTRY_BYTES = 2048
_TYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4", "uint8": "|u1"}


class NotPlain(Exception):
    """An entry for ASE to read."""


def open_ase_trajectory(path: Path, name: str, resources: ExitStack) -> FrameFile:
    """Open a trajectory of ASE; one that is cut raises BadTrajectory at the first absent frame."""
    file = UlmFile(path)
    resources.callback(file.close)
    by_ase = quietly(ase_reader(path, resources))

    def read(index: int) -> ParsedFrame:
        try:
            return file.read(index)
        except (NotPlain, ValueError, KeyError, TypeError, struct.error):
            return by_ase(index)

    if not file.is_trajectory:
        raise BadTrajectory(f"{name}: not an ASE trajectory; give the format's own file ending")
    return FrameFile(name, file.n_declared, read, n_complete=len(file.starts))


class UlmFile:
    """The entries of a file, and their arrays.

    n_declared  entries that the file promises
    starts      where they begin, fewer where the file is cut
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = path.stat().st_size
        head = os.pread(self._file.fileno(), _HEAD.size, 0)
        magic, tag, _, self.n_declared, table = _HEAD.unpack(head.ljust(_HEAD.size, b"\0"))
        self.is_trajectory = magic == b"- of Ulm" and tag.strip() == b"ASE-Trajectory"
        room = max(0, self._size - table) // 8
        n_starts = max(0, min(self.n_declared, room)) if self.is_trajectory and table > 0 else 0
        self.starts = np.frombuffer(self._bytes(8 * n_starts, table) if n_starts else b"", "<i8")
        self._numbers = np.zeros(0, dtype=np.uint8)
        self._pbc = np.zeros(3, dtype=np.bool_)
        self._cell_text: Any = None
        self._cell = np.zeros((3, 3))

    def read(self, index: int) -> ParsedFrame:
        """Read one frame; what is the same in all frames stands only in the first."""
        if index and not len(self._numbers):
            self._learn(self._entry(0))
        entry = self._entry(index)
        if "numbers." in entry:
            self._learn(entry)
        positions = self._array(entry["positions."])
        if positions.shape != (len(self._numbers), 3):
            raise NotPlain
        if entry["cell"] != self._cell_text:
            self._cell_text = entry["cell"]
            self._cell = np.array(self._cell_text, dtype=np.float64).reshape(3, 3)
        return ParsedFrame(
            numbers=self._numbers,
            positions=positions,
            cell=self._cell,
            pbc=self._pbc,
            time_fs=time_in(entry.get("info", {})),
        )

    def _learn(self, entry: dict[str, Any]) -> None:
        numbers = self._array(entry["numbers."])
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= 118:
            raise NotPlain
        self._numbers = numbers.astype(np.uint8)
        self._pbc = np.array(np.broadcast_to(np.array(entry["pbc"], dtype=np.bool_), 3))

    def _entry(self, index: int) -> dict[str, Any]:
        start = int(self.starts[index])
        text = self._bytes(_ENTRY_BYTES, start)
        (length,) = struct.unpack_from("<q", text)
        if length + 8 > len(text):
            text = self._bytes(length + 8, start)
        entry = json.loads(text[8 : 8 + length])
        if not isinstance(entry, dict) or not entry.get("_little_endian", True):
            raise NotPlain
        return entry

    def _array(self, place: dict[str, Any]) -> NDArray[Any]:
        shape, kind, start = place["ndarray"]
        plain = np.dtype(_TYPES[kind])
        n_bytes = plain.itemsize * math.prod(shape)
        return np.frombuffer(self._bytes(n_bytes, start), plain).reshape(shape)

    def _bytes(self, n_bytes: int, start: int) -> bytes:
        if n_bytes < 0 or start < 0 or n_bytes > max(self._size, _ENTRY_BYTES):
            raise NotPlain
        return os.pread(self._file.fileno(), n_bytes, start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
