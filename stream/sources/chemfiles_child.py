"""The process that reads a file with chemfiles, whose damage may end it, or make it ask for memory.

``python -m stream.sources.chemfiles_child PATH CPU_S``. On standard input come numbers of frames, 8
bytes each; for each of them, and first for the file, a line of JSON goes to standard output, and
after it the arrays that it announces. Opening the file, or reading a frame, that takes more than
CPU_S seconds of processor time ends the process by SIGPROF, inside the library.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stream.sources.frame_file import in_one_line

MEMORY_BYTES = 8 << 30
"""Of address space, beside the file, which may be mapped: frames of 50 million atoms, the most that
we read, fit."""
SMALL_BYTES, BYTES_A_BYTE = 512 << 20, 1000
"""Of it for a small file, and more for each byte: a length in a damaged one may be any number."""


class Trajectory:
    """A file that chemfiles has open; OSError, or the end of the process, for a damaged one."""

    def __init__(self, path: str, cpu_s: float) -> None:
        import chemfiles

        self._cpu_s = cpu_s
        with _within(cpu_s):
            self._trajectory: Any = chemfiles.Trajectory(path)
            self.n_frames = int(self._trajectory.nsteps)
        self._infinite = chemfiles.CellShape.Infinite
        self._frame: Any = chemfiles.Frame()
        self._library: Any = self._trajectory.ffi
        self._places = self._library.chfl_frame_positions.argtypes[1]._type_()
        self._count = ctypes.c_uint64()
        self._n_atoms = -1

    def read(self, index: int) -> tuple[dict[str, Any], list[bytes]]:
        """What is said of a frame, and positions (n, 3) float64; elements where n is another."""
        positions = self._positions(index)
        n_atoms = len(positions) // 24
        said: dict[str, Any] = {"n_atoms": n_atoms, "cell": self._cell(), "elements": False}
        if n_atoms == self._n_atoms:
            return said, [positions]
        self._n_atoms = n_atoms
        return said | {"elements": True}, [positions, elements(self._frame.atoms).tobytes()]

    def _positions(self, index: int) -> bytes:
        """Through the library's C interface: its Python objects cost three times the reading."""
        frame = self._frame.mut_ptr
        with _within(self._cpu_s):
            self._library.chfl_trajectory_read_step(self._trajectory.mut_ptr, index, frame)
        self._library.chfl_frame_positions(frame, self._places, self._count)
        return ctypes.string_at(self._places, 24 * self._count.value)

    def _cell(self) -> list[float] | None:
        cell: Any = self._frame.cell
        if cell.shape == self._infinite:
            return None
        return [float(x) for x in np.array(cell.matrix).T.reshape(-1)]


@contextlib.contextmanager
def _within(cpu_s: float) -> Iterator[None]:
    """End this process by SIGPROF where what is inside takes more processor time."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def elements(atoms: Any) -> NDArray[np.uint8]:
    """Return atomic numbers, from masses where nothing else names them; 0: unknown."""
    numbers = np.array([atom.atomic_number for atom in atoms], dtype=np.uint8)
    masses = np.array([atom.mass for atom in atoms], dtype=np.float64)
    return np.where(numbers > 0, numbers, numbers_from_masses(masses))


def numbers_from_masses(masses: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the element nearest in mass (u), as a PSF file needs it; 0 where none is near."""
    from ase.data import atomic_masses

    table = np.concatenate([[-1.0], atomic_masses[1:104]])
    nearest = np.abs(table - masses[:, None]).argmin(axis=1)
    near = np.abs(table[nearest] - masses) < 0.3
    return np.where(near, nearest, 0).astype(np.uint8)


def serve(path: str, cpu_s: float, asked: BinaryIO, out: BinaryIO) -> None:
    """Answer until nobody asks any more."""
    try:
        trajectory = Trajectory(path, cpu_s)
    except BaseException as error:  # noqa: BLE001 - ChemfilesError is none of Exception
        _answer(out, {"error": in_one_line(error)}, [])
        return
    _answer(out, {"n_frames": trajectory.n_frames}, [])
    while word := asked.read(8):
        try:
            said, arrays = trajectory.read(struct.unpack("<Q", word)[0])
        except BaseException as error:  # noqa: BLE001 - as above
            said, arrays = {"error": in_one_line(error)}, []
        _answer(out, said, arrays)


def _answer(out: BinaryIO, said: dict[str, Any], arrays: list[bytes]) -> None:
    out.write(json.dumps(said).encode() + b"\n")
    for array in arrays:
        out.write(array)
    out.flush()


def _limit_memory(file_bytes: int) -> None:
    pages = Path("/proc/self/statm")  # of Linux: elsewhere no more is known than that it fits
    held = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 8 << 30
    needed = min(MEMORY_BYTES, SMALL_BYTES + BYTES_A_BYTE * file_bytes)
    limit, hard = held + file_bytes + needed, resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(
        resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def main() -> None:
    """See the module."""
    import chemfiles  # noqa: F401 - what it holds itself is none of the file's

    _limit_memory(Path(sys.argv[1]).stat().st_size)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        serve(sys.argv[1], float(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
