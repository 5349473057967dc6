"""What a power cut leaves of a folder: files as far as they were synced."""

from __future__ import annotations

from pathlib import Path


def cut_power(folder: Path, synced: set[tuple[int, int]]) -> int:
    """Empty every file that was never synced, and forget names that were not; how many files.

    The writer is dead. A file that was renamed into its place lives where its folder was synced
    after; the record of syncs has no order, so that only folders that were never synced lose names:
    tests/delivery proves the order of the calls.
    """
    lost = 0
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        status = path.stat()
        kept_name = _identity(path.parent) in synced or path.suffix == ".epoch"
        if path.name != "ballast" and status.st_size and _identity(path) not in synced:
            path.write_bytes(b"")
            lost += 1
        elif not kept_name:
            path.unlink()
            lost += 1
    return lost


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
