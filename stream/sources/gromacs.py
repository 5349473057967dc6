"""XTC and TRR files of GROMACS: where their frames are, their times and boxes, from the headers.

Layouts: the XDR files of GROMACS (libxdrfile: xtc magic 1995, with 64-bit sizes 2023; trr magic
1993). Positions of TRR are read here, those of XTC, which are packed, by chemfiles.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import PERIODIC
from stream.sources.frames import ParsedFrame

_XTC, _XTC_LARGE, _TRR = 1995, 2023, 1993
_UNCOMPRESSED_ATOMS = 9
_ANGSTROM = 10.0  # in one nanometre
_HEADER_BYTES = 1024
_MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Header:
    """What a frame begins with.

    box        9 numbers in nm, vectors in rows; zeros, or no bytes, where not periodic
    positions  where they begin in a frame of TRR
    kind       their type there, and that of the box
    """

    n_atoms: int
    time_ps: float
    box: bytes
    positions: int
    kind: str


class GromacsFile:
    """The frames of an XTC or TRR file; its last one may be incomplete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._size = path.stat().st_size
        self._starts = array("q")
        self._box = b""
        self._cell: NDArray[np.float64] | None = None
        self._end = 0
        while self._end < self._size:
            n_bytes = self._n_bytes(self._end)
            if n_bytes is None or self._end + n_bytes > self._size:
                break
            self._starts.append(self._end)
            self._end += n_bytes

    def __len__(self) -> int:
        """How many frames are complete."""
        return len(self._starts)

    @property
    def is_cut(self) -> bool:
        """Whether an incomplete frame follows."""
        return self._end < self._size

    @contextmanager
    def complete_frames(self) -> Iterator[Path]:
        """Give a file with only complete frames; a temporary one where this one is cut."""
        if not self.is_cut or self._end == 0:
            yield self._path
            return
        with tempfile.TemporaryDirectory(prefix="edgestream-") as folder:
            whole = Path(folder) / self._path.name
            shutil.copyfile(self._path, whole)
            os.truncate(whole, self._end)
            yield whole

    def _n_bytes(self, start: int) -> int | None:
        """Return the length of the frame that begins here; None where it is not one."""
        try:
            return _length(os.pread(self._file.fileno(), _HEADER_BYTES, start))
        except struct.error:
            return None

    def trr_frame(self, index: int) -> ParsedFrame:
        """Read a frame of a TRR file; its atoms have no elements."""
        header = self._header(index)
        start = self._starts[index] + header.positions
        kind = np.dtype(header.kind)
        data = os.pread(self._file.fileno(), 3 * header.n_atoms * kind.itemsize, start)
        positions = np.frombuffer(data, kind).astype(np.float64).reshape(-1, 3)
        return self._frame(header, positions * _ANGSTROM)

    def xtc_frame(self, index: int, positions: NDArray[np.float64]) -> ParsedFrame:
        """Read what is not packed in a frame of an XTC file; positions come from elsewhere."""
        return self._frame(self._header(index), positions)

    def _header(self, index: int) -> Header:
        return _header(os.pread(self._file.fileno(), _HEADER_BYTES, self._starts[index]))

    def _frame(self, header: Header, positions: NDArray[np.floating]) -> ParsedFrame:
        if header.box != self._box:
            self._box, self._cell = header.box, _cell(header)
        return ParsedFrame(
            numbers=np.zeros(len(positions), dtype=np.uint8),
            positions=positions,
            cell=self._cell,
            pbc=None if self._cell is None else PERIODIC,
            time_fs=round(header.time_ps * 1000.0, 6),
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_XTC_HEAD = struct.Struct(">4x i 4x f 36x i")
_XTC_SIZES = {_XTC: struct.Struct(">i"), _XTC_LARGE: struct.Struct(">q")}
_TRR_SIZES = struct.Struct(">13i")
_MAGIC = struct.Struct(">i")


def _length(head: bytes) -> int | None:
    """Return the length of the frame that begins so; None or struct.error where it is not one."""
    (magic,) = _MAGIC.unpack_from(head)
    if magic in _XTC_SIZES:
        length = _xtc_length(head, _XTC_SIZES[magic])
    elif magic == _TRR:
        sizes, after = _trr_sizes(head)
        length = after + sum(sizes[:10]) if min(sizes[:11]) >= 0 else 0
    else:
        return None
    return length if length > 0 else None


def _xtc_length(head: bytes, size: struct.Struct) -> int:
    n_atoms = _XTC_HEAD.unpack_from(head)[-1]
    if n_atoms <= _UNCOMPRESSED_ATOMS:
        return 56 + 12 * int(n_atoms) if n_atoms >= 0 else 0
    (n_packed,) = size.unpack_from(head, 88)
    return 88 + size.size + (n_packed + 3) // 4 * 4 if n_packed >= 0 else 0


def _trr_sizes(head: bytes) -> tuple[tuple[int, ...], int]:
    """Return the 13 sizes of a TRR header, and where the header ends."""
    _, length = struct.unpack_from(">2i", head, 4)  # of the version text
    if not 0 <= length <= _MAX_TEXT:
        raise struct.error("no version text")
    start = 12 + (length + 3) // 4 * 4
    sizes = _TRR_SIZES.unpack_from(head, start)
    return sizes, start + 52 + (16 if _is_double(sizes) else 8)


def _is_double(sizes: tuple[int, ...]) -> bool:
    box, positions, velocities, forces, n_atoms = sizes[2], sizes[7], sizes[8], sizes[9], sizes[10]
    return box == 72 or (n_atoms > 0 and 24 * n_atoms in (positions, velocities, forces))


def _cell(header: Header) -> NDArray[np.float64] | None:
    box = np.frombuffer(header.box, header.kind).astype(np.float64)
    return box.reshape(3, 3) * _ANGSTROM if box.any() else None


def _header(head: bytes) -> Header:
    if _MAGIC.unpack_from(head)[0] != _TRR:
        n_atoms, time_ps = _XTC_HEAD.unpack_from(head)[:2]
        return Header(n_atoms, _decimal(time_ps), head[16:52], 0, ">f4")
    sizes, after = _trr_sizes(head)
    kind, width = (">f8", 8) if _is_double(sizes) else (">f4", 4)
    (time_ps,) = struct.unpack_from(">d" if width == 8 else ">f", head, after - 2 * width)
    start = after + sum(sizes[:2])
    if sizes[7] != 3 * sizes[10] * width:
        raise ValueError("the frame has no positions")
    if width == 4:
        time_ps = _decimal(time_ps)
    return Header(sizes[10], time_ps, head[start : start + sizes[2]], after + sum(sizes[:7]), kind)


def _decimal(value: float) -> float:
    """Return the shortest decimal that is this float32: what was meant."""
    packed = struct.pack("f", value)
    for digits in (6, 7, 8):
        decimal = float(f"{value:.{digits}g}")
        if struct.pack("f", decimal) == packed:
            return decimal
    return float(f"{value:.9g}")
