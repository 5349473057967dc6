"""The runs of a folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from stream.result_file.segment import Contents, Segment, parse_name, read_state
from stream.result_file.snapshot import NOT_OURS
from xas.errors import BadResultFile

_SUFFIX = ".segments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A run in a folder; size in bytes, of all its files.

    state  growing, finished, interrupted, unreadable, or headless: segments without a main file
    """

    name: str
    file: str
    state: str
    frames: int = 0
    sites: int = 0
    dead_letters: int = 0
    models: list[str] = field(default_factory=list)
    started: str = ""
    size: int = 0


def list_runs(folder: Path) -> list[Listed]:
    """Every run of a folder, by name; BadResultFile where there is no such folder."""
    if not folder.is_dir():
        raise BadResultFile(f"{folder} is not a folder")
    names = {path.name.removesuffix(".h5") for path in folder.glob("*.h5")}
    names |= {path.name.removesuffix(_SUFFIX) for path in folder.glob("*" + _SUFFIX)}
    return [_listed(folder, name) for name in sorted(names)]


def _listed(folder: Path, name: str) -> Listed:
    main, place = folder / f"{name}.h5", folder / f"{name}{_SUFFIX}"
    parts = [p for p in place.glob("*.h5") if parse_name(p.name)] if place.is_dir() else []
    size = sum(p.stat().st_size for p in [*parts, main] if p.is_file())
    try:
        whole, contents = read_state(main)
    except FileNotFoundError:
        return Listed(name=name, file=str(main), state="headless", size=size)
    except NOT_OURS:
        return Listed(name=name, file=str(main), state="unreadable", size=size)
    return _described(name, main, whole, contents, size)


def _described(name: str, main: Path, whole: Segment, contents: Contents, size: int) -> Listed:
    return Listed(
        name=name,
        file=str(main),
        state="interrupted" if contents.interrupted else contents.kind,
        frames=whole.end,
        sites=whole.sites,
        dead_letters=whole.dead,
        models=[f"{model.name}@{model.version}" for model in contents.models],
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(contents.header.start_time)),
        size=size,
    )
