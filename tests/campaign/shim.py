"""A clock and a disk of a process's own, through a small library that it is started with."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


@cache
def library() -> Path | None:
    """Compile it once; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = Path(_place().name) / "shim.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", made, HERE / "shim.c", "-ldl"]
    subprocess.run(words, check=True)
    return made


@cache
def _place() -> tempfile.TemporaryDirectory[str]:
    place = tempfile.TemporaryDirectory(prefix="shim-")
    atexit.register(place.cleanup)
    return place


@dataclass
class Shim:
    """One process's clock and disk; they outlive its death, as a machine's do."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.record = self.folder / f"{self.name}.synced"
        self._library = library()
        path = self.folder / f"{self.name}.shim"
        np.zeros(2, np.int64).tofile(path)
        self._control = np.memmap(path, dtype=np.int64, mode="r+")
        self._path = path

    @property
    def works(self) -> bool:
        return self._library is not None

    def environment(self) -> dict[str, str]:
        before = os.environ.get("PYTHONPATH", "")
        found = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}:{HERE.parents[1]}:{before}"}
        if self._library is None:
            return found
        named = {"LD_PRELOAD": self._library, "ES_SHIM": self._path, "ES_SYNCED": self.record}
        return {**found, **{name: str(value) for name, value in named.items()}}

    def jump(self, seconds: float) -> None:
        """Set the wall clock so far from the true one."""
        self._control[0] = int(seconds * 1e9)

    def slow(self, sync_s: float) -> None:
        """Every sync takes so much longer."""
        self._control[1] = int(sync_s * 1e6)

    def synced(self) -> set[tuple[int, int]]:
        """Device and inode of every file that was synced."""
        if not self.record.exists():
            return set()
        lines = self.record.read_text().splitlines()
        return {(int(device), int(inode)) for _, device, inode in map(str.split, lines)}
