"""What a campaign will do: its runs, its poison, its faults; all of it follows from the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from bundles import IRON, iron_oxides

from xas.structure import StructureBatch

POISON = ("not finite", "no absorber", "thrower", "killer")
# of oganesson the workers of the campaign die, and tennessine raises, as by faults of a library
ELEMENTS = {"killer": 118, "thrower": 117}

# how often each is drawn; the restarts that lose what the server had are told apart by their data
FAULTS = {
    "kill worker": 12,
    "kill writer": 10,
    "kill producer": 10,
    "stop worker": 6,
    "stop writer": 4,
    "stop producer": 4,
    "stop server": 4,
    "kill server": 8,
    "end server": 3,
    "server without its last second": 5,
    "server cut at a random byte": 4,
    "server empty": 4,
    "network refused": 5,
    "network silent": 5,
    "network deaf": 6,
    "full disk of the writer": 5,
    "full disk of the server": 4,
    "full disk of a spool": 4,
    "power cut of the writer": 6,
    "clock of the server": 4,
    "clock of the writer": 4,
    "clock of a worker": 3,
    "clock of a producer": 2,
    "slow disk": 4,
}
FORGETFUL = ("server without its last second", "server cut at a random byte", "server empty")


class Run(msgspec.Struct, frozen=True):
    """Frame i follows from the run's number and i alone: its producer can make it again."""

    name: str
    number: int
    n_frames: int
    priority: str
    poison: dict[int, str]

    def frames(self, first: int, n: int) -> StructureBatch:
        made = iron_oxides(n, first=self.number * 10_000_000 + first)
        own = [i for i in self.poison if first <= i < first + n]
        if not own:
            return made
        numbers, positions = made.numbers.copy(), made.positions.copy()
        for i in own:
            start, end = made.offsets[i - first : i - first + 2]
            kind = self.poison[i]
            if kind == "not finite":
                positions[start] = np.nan
            elif kind == "no absorber":
                numbers[start:end][numbers[start:end] == IRON] = 8
            else:
                numbers[end - 1] = ELEMENTS[kind]
        return StructureBatch.from_arrays(numbers, positions, made.offsets)


class Fault(msgspec.Struct, frozen=True):
    """``draw`` in [0, 1) decides what is left open: who, how far, how long."""

    kind: str
    draw: float


class Script(msgspec.Struct, frozen=True):
    """One campaign."""

    seed: int
    runs: list[Run]
    faults: list[Fault]
    n_producers: int
    n_workers: int
    spools: list[int]  # producers that keep one

    @property
    def n_frames(self) -> int:
        return sum(run.n_frames for run in self.runs)

    def of_producer(self, number: int) -> list[Run]:
        return self.runs[number :: self.n_producers]

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> Script:
        return msgspec.json.decode(path.read_bytes(), type=cls)


@dataclass(frozen=True)
class Size:
    frames: int
    faults: int
    runs: int = 20
    producers: int = 2
    workers: int = 2
    poisoned: float = 0.1
    spools: int = 1


def write_script(
    seed: int, size: Size, *, without: Sequence[str] = (), only: Sequence[str] = ()
) -> Script:
    """Draw a campaign; ``without``: kinds of faults that cannot be made here."""
    chance = random.Random(seed)
    each = size.frames // size.runs
    n_poisoned = round(size.poisoned * size.runs)
    poisoned = chance.sample(range(size.runs), n_poisoned)
    runs = [
        Run(f"run-{k:03d}", k, each, chance.choice(("live", "bulk")), _poison(chance, each))
        if k in poisoned
        else Run(f"run-{k:03d}", k, each, chance.choice(("live", "bulk")), {})
        for k in range(size.runs)
    ]
    wanted = [k for k in only or FAULTS if size.spools or "spool" not in k]
    kinds = {k: FAULTS[k] for k in wanted if k not in without}
    drawn = list(kinds)[: size.faults]  # each at least once, where there are enough
    drawn += chance.choices(list(kinds), list(kinds.values()), k=size.faults - len(drawn))
    chance.shuffle(drawn)
    faults = [Fault(kind, chance.random()) for kind in drawn]
    spools = list(range(size.producers))[size.producers - size.spools :]
    return Script(seed, runs, faults, size.producers, size.workers, spools)


def _poison(chance: random.Random, n_frames: int) -> dict[int, str]:
    """A frame of each kind; the killer costs several workers."""
    where = chance.sample(range(n_frames), len(POISON))
    return dict(zip(where, POISON, strict=True))
