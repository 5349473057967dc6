"""Where the frames of XTC and TRR files end, so that a truncated file keeps its complete ones.

Only headers are read. Layouts: the XDR files of GROMACS (libxdrfile: xtc magic 1995, with 64-bit
sizes 2023; trr magic 1993).
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIXES = {".xtc", ".trr"}
_XTC, _XTC_LARGE, _TRR = 1995, 2023, 1993
_UNCOMPRESSED_ATOMS = 9


@contextmanager
def complete_frames(path: Path) -> Iterator[tuple[Path, bool]]:
    """Give a file with only complete frames, and whether something was cut off."""
    size = path.stat().st_size
    end = last_complete_byte(path) if path.suffix.lower() in _SUFFIXES else size
    if end in (0, size):
        yield path, False
        return
    with tempfile.TemporaryDirectory(prefix="edgestream-") as folder:
        whole = Path(folder) / path.name
        shutil.copyfile(path, whole)
        os.truncate(whole, end)
        yield whole, True


def last_complete_byte(path: Path) -> int:
    """Return where the last complete frame ends; 0 where the first is not one."""
    size = path.stat().st_size
    end = 0
    with path.open("rb") as file:
        while end < size:
            file.seek(end)
            length = _frame_bytes(file)
            if length is None or end + length > size:
                break
            end += length
    return end


def _frame_bytes(file: IO[bytes]) -> int | None:
    """Return the length of the frame that begins here; None where its header does not end."""
    try:
        magic = _ints(file, 1)[0]
        if magic in (_XTC, _XTC_LARGE):
            return _xtc_bytes(file, magic == _XTC_LARGE)
        return _trr_bytes(file) if magic == _TRR else None
    except struct.error:
        return None


def _xtc_bytes(file: IO[bytes], large: bool) -> int:
    file.seek(48, 1)  # atoms, step, time, box
    n_atoms = _ints(file, 1)[0]
    if n_atoms <= _UNCOMPRESSED_ATOMS:
        return 56 + 12 * n_atoms
    file.seek(32, 1)  # precision, bounds, smallidx
    n_bytes = int(struct.unpack(">q", file.read(8))[0]) if large else _ints(file, 1)[0]
    return 88 + (8 if large else 4) + (n_bytes + 3) // 4 * 4


def _trr_bytes(file: IO[bytes]) -> int:
    length = _ints(file, 2)[1]  # of the version text
    file.seek((length + 3) // 4 * 4, 1)
    sizes = _ints(file, 13)
    box, positions, n_atoms = sizes[2], sizes[7], sizes[10]
    double = box == 72 or (n_atoms > 0 and positions == 24 * n_atoms)
    header = 12 + (length + 3) // 4 * 4 + 13 * 4 + (16 if double else 8)
    return header + sum(sizes[:10])


def _ints(file: IO[bytes], count: int) -> tuple[int, ...]:
    return struct.unpack(f">{count}i", file.read(4 * count))
