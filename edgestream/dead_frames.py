"""Finding dead letters, on disk and in the server, and giving them back to the workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.broker import RunState
from stream.codec import decode, encode
from stream.dead_letters import (
    LETTERS,
    STRANGERS,
    KeptLetter,
    RunLetters,
    letters_of,
    runs_with_letters,
)
from stream.messages import FrameBlock
from stream.redis_broker import RedisBroker
from xas.edges import element_symbol
from xas.errors import Backpressure, BadMessage, Reject
from xas.structure import StructureBatch

ON_DISK, IN_SERVER, ELSEWHERE = "disk", "server", "elsewhere"
NEXT_TRY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which dead letters: of one run, of frames first:end, with these words in reason or error."""

    run: str | None = None
    first: int | None = None
    end: int | None = None
    reason: str = ""

    def takes(self, kept: KeptLetter) -> bool:
        """Whether a letter is among them."""
        letter = kept.letter
        return (
            self.run in (None, letter.run, _owner(kept))
            and (self.first is None or kept.index >= self.first)
            and (self.end is None or kept.index < self.end)
            and self.reason.lower() in f"{letter.error}: {letter.reason}".lower()
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """A dead letter and where it is: on this disk, in the server, or on the writer's disk."""

    kept: KeptLetter
    where: str

    def facts(self) -> dict[str, Any]:
        """All but the frame, for tables and JSON."""
        letter = self.kept.letter
        return {
            "run": _owner(self.kept),
            "frame": self.kept.index,
            "frames": letter.n_frames,
            "reason": letter.reason,
            "error": letter.error,
            "attempts": self.kept.attempts,
            "worker": letter.worker,
            "model": letter.model,
            "failed_at": letter.t_failed,
            "bytes": self.kept.size,
            "where": self.where,
        }


def _owner(kept: KeptLetter) -> str:
    """The run, or the name of the file in which strangers lie."""
    if kept.letter.run or kept.file is None:
        return kept.letter.run
    return kept.file.name.removesuffix(LETTERS)


def find(broker: RedisBroker | None, out: Path | None, choice: Choice) -> list[Found]:
    """The dead letters of a folder and of a server, the same one once.

    Without ``out`` those folders of the server's runs that are on this machine. Where there is
    none, the last few of which the writer left word.
    """
    states = broker.runs() if broker is not None else []
    folders = [out] if out is not None else _folders(states)
    found = [
        Found(kept=kept, where=ON_DISK)
        for folder in folders
        for run in runs_with_letters(folder)
        for kept in RunLetters(folder, run).letters()
    ]
    if broker is not None:
        known = {(f.kept.letter.run, f.kept.index) for f in found if f.kept.letter.run}
        found += [f for f in _in_server(broker) if (f.kept.letter.run, f.kept.index) not in known]
        if not folders:
            found += _elsewhere(broker, {s.run for s in states if s.dead})
    return [f for f in found if choice.takes(f.kept)]


def _folders(states: Sequence[RunState]) -> list[Path]:
    return sorted({Path(s.file).parent for s in states if s.file and Path(s.file).parent.is_dir()})


def _in_server(broker: RedisBroker) -> list[Found]:
    shards = range(broker.settings.shards)
    waiting = [raw for k in shards for raw in broker.dead_letters(k)]
    return [Found(kept=kept, where=IN_SERVER) for kept in letters_of(waiting)]


def _elsewhere(broker: RedisBroker, runs: set[str]) -> list[Found]:
    noted = [raw for k in range(broker.settings.shards) for raw in broker.notices(k)[::-1]]
    return [Found(kept=k, where=ELSEWHERE) for k in letters_of(noted) if k.letter.run in runs]


# -- looking at one -------------------------------------------------------------------------------


def structure_facts(original: bytes) -> dict[str, Any]:
    """What is in a dead frame, in short; why not, where its bytes cannot be read."""
    try:
        block = decode(original, FrameBlock)
        structures = block.structures()
    except BadMessage as error:
        return {"unreadable": str(error), "begins": original[:32].hex()}
    finite = bool(np.isfinite(structures.positions).all())
    spans = np.ptp(structures.positions, axis=0).tolist() if len(structures.positions) else []
    return {
        "asked_of": block.model,
        "absorber": block.absorber,
        "atoms": structures.n_atoms,
        "formula": _formula(structures.numbers),
        "finite": finite,
        "extent_angstrom": [round(x, 3) for x in spans] if finite else None,
        "cell_angstrom": None if structures.cells is None else structures.cells[0].tolist(),
    }


def _formula(numbers: NDArray[np.uint8]) -> str:
    """By element, carbon and hydrogen first (Hill's order)."""
    counts = Counter(_symbol(z) for z in numbers.tolist())
    names = sorted(counts, key=lambda s: (s not in ("C", "H"), s))
    return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in names)


def _symbol(z: int) -> str:
    try:
        return element_symbol(int(z))
    except (Reject, KeyError, ValueError):
        return f"({z})"


def save_frames(original: bytes, path: Path) -> int:
    """Write a dead letter's frames as extended XYZ; how many. BadMessage where nobody can."""
    from ase.io import write

    structures = decode(original, FrameBlock).structures()
    if path.suffix not in (".xyz", ".extxyz"):
        raise Reject(f"--save {path}: frames are saved as .extxyz")
    try:
        write(path, [_atoms(structures[i : i + 1]) for i in range(len(structures))], "extxyz")
    except OSError as error:
        raise Reject(f"--save {path}: {error.strerror or error}") from None
    return len(structures)


def _atoms(structure: StructureBatch) -> Any:
    from ase import Atoms

    has_cell = structure.cells is not None and structure.pbc is not None
    return Atoms(
        numbers=structure.numbers,
        positions=structure.positions,
        cell=structure.cells[0] if has_cell and structure.cells is not None else None,
        pbc=structure.pbc[0] if has_cell and structure.pbc is not None else None,
    )


# -- changing what becomes of them ----------------------------------------------------------------


def requeue(
    broker: RedisBroker, found: Sequence[Found], *, model: str | None, timeout_s: float
) -> int:
    """Give frames back to the workers, those that lie on this disk; how many letters.

    Waits up to ``timeout_s`` where the server holds as much as it may, then raises Backpressure;
    what was requeued until then may be requeued again.
    """
    for f in found:
        _require_on_disk(f)
    end = time.monotonic() + timeout_s
    for done, f in enumerate(found):
        payload = _asked_of(f, model)
        while not _requeue_one(broker, f, payload):
            if time.monotonic() > end:
                raise Backpressure(
                    f"{done} of {len(found)} dead letters requeued; the workers or the writer are "
                    "behind: repeat the command"
                )
            time.sleep(NEXT_TRY_S)
    return len(found)


def _requeue_one(broker: RedisBroker, f: Found, payload: bytes) -> bool:
    letter = f.kept.letter
    try:
        broker.requeue(letter.run, letter.first, letter.n_frames, payload)
    except Backpressure:
        return False
    return True


def _asked_of(f: Found, model: str | None) -> bytes:
    """The frame as it was pushed, or asking for another model."""
    original = f.kept.original()
    if model is None:
        return original
    try:
        block = decode(original, FrameBlock)
    except BadMessage as error:
        raise Reject(
            f"run {f.kept.letter.run!r}, frame {f.kept.index}: {error}; so no other model can be "
            "asked for it: requeue without --model, or drop it"
        ) from None
    return encode(msgspec.structs.replace(block, model=model))


def drop(found: Sequence[Found]) -> int:
    """Forget letters that lie on this disk; their tombstones and counts stay. How many."""
    files: dict[Path, list[KeptLetter]] = {}
    for f in found:
        file = _require_on_disk(f, strangers=True)
        files.setdefault(file, []).append(f.kept)
    for file, letters in files.items():
        RunLetters(file.parent, file.name.removesuffix(LETTERS)).drop(letters, time.time())
    return len(found)


def _require_on_disk(f: Found, *, strangers: bool = False) -> Path:
    name = f"run {_owner(f.kept)!r}, frame {f.kept.index}"
    if f.where == ELSEWHERE:
        raise Reject(f"{name} lies on the writer's disk: do it there, or with --out its folder")
    if f.kept.file is None:
        raise Reject(f"{name} waits for the writer: again, when it is on disk (edgestream status)")
    if not strangers and f.kept.file.name.startswith(STRANGERS):
        raise Reject(f"{name} belongs to no run and cannot be requeued: drop it")
    return f.kept.file
