"""A disk of its own, small enough to be filled."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@lru_cache
def can_mount(folder: Path) -> bool:
    """Whether this user may mount a tmpfs here."""
    disk = SmallDisk(folder / "probe", 1)
    disk.unmount()
    return disk.mounted


@dataclass
class SmallDisk:
    """A tmpfs; an ordinary folder where mounting is not permitted."""

    place: Path
    size_mb: int
    mounted: bool = False

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m", "tmpfs", self.place]
        try:
            self.mounted = subprocess.run(words, capture_output=True).returncode == 0
        except OSError:
            self.mounted = False

    def fill(self) -> None:
        """Until not one byte more fits."""
        with (self.place / "ballast").open("wb", buffering=0) as ballast:
            free = os.statvfs(self.place)
            left = free.f_bavail * free.f_bsize
            while left > 0:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.tell(), left)
                    ballast.seek(left, os.SEEK_CUR)
                except OSError:
                    left //= 2

    def relieve(self) -> None:
        (self.place / "ballast").unlink(missing_ok=True)

    def unmount(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", self.place], check=True)
