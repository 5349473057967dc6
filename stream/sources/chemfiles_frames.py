"""Frames of binary files, and others, of which chemfiles reads what is not plain.

Files at random access are read in a child (record 22); of text, whose frames we cut ourselves, it
reads the elements here. The library is imported where it is needed: that takes some tenths of a
second.
"""

from __future__ import annotations

import contextlib
import json
import signal
import struct
import subprocess
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.sources.cells import PERIODIC
from stream.sources.chemfiles_child import elements
from stream.sources.dcd import DcdFile
from stream.sources.frame_file import FrameFile, in_one_line, quietly
from stream.sources.frames import ParsedFrame
from stream.sources.gromacs import GromacsFile
from stream.sources.lines import Malformed
from xas.errors import BadTrajectory

CPU_S, BYTES_A_CPU_S = 20.0, 2e6
"""Processor time for opening a file or reading a frame, with more for a larger file (XTC takes a
second for 28 MB); what takes longer is taken for a hang."""


def open_frames(path: Path, name: str, resources: ExitStack) -> FrameFile:
    """Open a DCD, XTC, TRR, Amber NetCDF or PSF file; `resources` close what it needs."""
    suffix = path.suffix.lower()
    if suffix in (".xtc", ".trr"):
        file = GromacsFile(path)
        resources.callback(file.close)
        if len(file) == 0:
            raise BadTrajectory(f"{name}: cannot be read (no complete frame)")
        return _trr(file, name) if suffix == ".trr" else _xtc(file, name, resources)
    dcd = _dcd_file(path, name) if suffix == ".dcd" else None
    if dcd is None:
        frames = _Chemfiles(path, name, resources)
        return FrameFile(name, frames.n_frames, quietly(frames.read))
    resources.callback(dcd.close)
    return _dcd(dcd, name)


def _dcd_file(path: Path, name: str) -> DcdFile | None:
    """Open a DCD file here: on a damaged header chemfiles may end the process."""
    try:
        return DcdFile.open(path)
    except ValueError as error:
        raise BadTrajectory(f"{name}: cannot be read ({error})") from None


def _trr(file: GromacsFile, name: str) -> FrameFile:
    return FrameFile(name, len(file) + file.is_cut, file.trr_frame, n_complete=len(file))


def _xtc(file: GromacsFile, name: str, resources: ExitStack) -> FrameFile:
    """Take times and boxes from the headers and leave the unpacking of positions to chemfiles."""
    packed = _Chemfiles(resources.enter_context(file.complete_frames()), name, resources)

    def read(index: int) -> ParsedFrame:
        return file.xtc_frame(index, packed.positions(index))

    return FrameFile(name, len(file) + file.is_cut, quietly(read), n_complete=len(file))


def _dcd(file: DcdFile, name: str) -> FrameFile:
    """Take coordinates from their places; most often the cell is that of the frame before."""
    numbers = np.zeros(file.n_atoms, dtype=np.uint8)  # for a topology to replace
    known: dict[bytes, NDArray[np.float64] | None] = {}

    def read(index: int) -> ParsedFrame:
        cell_bytes, positions = file.read(index)
        if cell_bytes not in known:
            known.clear()
            known[cell_bytes] = file.cell(cell_bytes)
        cell = known[cell_bytes]
        pbc = None if cell is None else PERIODIC
        return ParsedFrame(numbers=numbers, positions=positions, cell=cell, pbc=pbc)

    return FrameFile(name, max(len(file), file.n_declared), read, n_complete=len(file))


class _Chemfiles:
    """A trajectory that chemfiles has open, in a child: a damaged file may end it, and not us."""

    def __init__(self, path: Path, name: str, resources: ExitStack) -> None:
        self._cpu_s = CPU_S + path.stat().st_size / BYTES_A_CPU_S
        self._child = start_child(path.resolve(), self._cpu_s)
        resources.callback(self._close)
        self._numbers = np.zeros(0, dtype=np.uint8)
        try:
            self.n_frames = int(self._said()["n_frames"])
        except OSError as error:
            raise BadTrajectory(f"{name}: cannot be read ({error})") from None
        if self.n_frames > sys.maxsize:
            raise BadTrajectory(f"{name}: cannot be read (it declares {self.n_frames} frames)")

    def _close(self) -> None:
        """End the child, which has nothing to lose."""
        self._child.kill()
        with contextlib.suppress(OSError):  # what it was never told
            self._child.communicate()

    def read(self, index: int) -> ParsedFrame:
        """Read one frame; OSError where that does not work."""
        positions, cell = self._frame(index)
        if len(self._numbers) != len(positions):
            raise OSError("elements and positions disagree")
        pbc = None if cell is None else PERIODIC
        return ParsedFrame(numbers=self._numbers, positions=positions, cell=cell, pbc=pbc)

    def positions(self, index: int) -> NDArray[np.float64]:
        """Read positions only, (n_atoms, 3) float64, angstrom."""
        return self._frame(index)[0]

    def _frame(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(struct.pack("<Q", index))
            self._child.stdin.flush()
        said = self._said()
        positions = np.frombuffer(self._bytes(24 * said["n_atoms"]), np.float64).reshape(-1, 3)
        if said["elements"]:
            self._numbers = np.frombuffer(self._bytes(said["n_atoms"]), np.uint8)
        cell = None if said["cell"] is None else np.array(said["cell"]).reshape(3, 3)
        return positions, cell

    def _said(self) -> dict[str, Any]:
        """The child's next line; OSError where it complains, or has died."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line.endswith(b"\n"):
            raise OSError(f"chemfiles {self._end()}: the file is damaged")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise OSError(said["error"])
        return said

    def _bytes(self, n_bytes: int) -> bytes:
        assert self._child.stdout is not None
        data = self._child.stdout.read(n_bytes)
        if len(data) < n_bytes:
            raise OSError(f"chemfiles {self._end()}: the file is damaged")
        return data

    def _end(self) -> str:
        code = self._child.wait()
        if code == -signal.SIGPROF:
            return f"took more than {self._cpu_s:.3g} s of processor time"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def start_child(path: Path, cpu_s: float) -> subprocess.Popen[bytes]:
    """The process that reads a file with chemfiles; see ``chemfiles_child``."""
    return subprocess.Popen(
        [sys.executable, "-m", "stream.sources.chemfiles_child", str(path), str(cpu_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def elements_of_text(text: bytes, kind: str) -> NDArray[np.uint8]:
    """Return the elements of the first frame of a text that chemfiles reads; Malformed."""
    import chemfiles

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trajectory: Any = chemfiles.MemoryTrajectory(text, "r", kind)
            try:
                return elements(trajectory.read().atoms)
            finally:
                trajectory.close()
    except (chemfiles.ChemfilesError, UnicodeDecodeError) as error:
        raise Malformed(f"chemfiles cannot read it ({in_one_line(error)})") from None
