"""A worker at a broker in memory, and what it gives back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stream.broker import Entry, Opened
from stream.codec import decode, encode
from stream.memory_broker import MemoryBroker
from stream.messages import DeadLetter, FrameBlock, ResultBlock, RunSpec
from workers.catalogue import Choice
from workers.isolation import IsolatedPredictor
from workers.predictor import Prediction, Predictor
from workers.worker import Worker
from xas.errors import UnknownModel
from xas.structure import Sites, StructureBatch

NO_CHILD = [sys.executable, "-c", "raise SystemExit(1)"]


class Cursed(Predictor):
    """Fails as a library would, wherever a structure holds a cursed element."""

    def __init__(self, predictor: Predictor, cursed: int = 118) -> None:
        self.__dict__.update(predictor.__dict__)
        self.cursed, self.calls = cursed, list[int]()

    def predict(
        self, batch: StructureBatch, sites: Sites | None = None, absorber: str | None = None
    ) -> Prediction:
        self.calls.append(len(batch))
        if (batch.numbers == self.cursed).any():
            raise FloatingPointError("a cursed element")
        return super().predict(batch, sites, absorber)


@dataclass
class Desk:
    """One broker, one run for each model, any number of workers."""

    broker: MemoryBroker
    predictors: dict[str, Predictor]
    clock: Callable[[], float]
    child: Sequence[str] = field(default_factory=lambda: NO_CHILD)
    timeout_s: float = 60.0
    choices: dict[str, Choice] = field(default_factory=dict)
    opened: dict[str, Opened] = field(default_factory=dict)
    isolations: list[IsolatedPredictor] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def load(self, reference: str) -> Predictor:
        if reference not in self.predictors:
            raise UnknownModel(f"no model {reference!r}")
        return self.predictors[reference]

    def choose(self, reference: str) -> Choice:
        return self.choices.get(reference) or Choice(champion=reference)

    def isolation(self) -> IsolatedPredictor:
        self.isolations.append(IsolatedPredictor(self.child, timeout_s=self.timeout_s))
        return self.isolations[-1]

    def worker(self, name: str = "w", **options: Any) -> Worker:
        return Worker(
            self.broker,
            lambda: self,
            isolation=self.isolation(),
            name=name,
            settings=self.broker.settings,
            clock=self.clock,
            sleep=self.pauses.append,
            **options,
        )

    def work(self) -> None:
        """One worker, until nothing is left."""
        worker = self.worker()
        while worker.step(0):
            pass

    def open(self, model: str) -> Opened:
        if model not in self.opened:
            self.opened[model] = self.broker.open_run(
                run_of(model), RunSpec(model=model), run_id="me", resume=False
            )
        return self.opened[model]

    def push(self, structures: StructureBatch, model: str = "tiny", **fields: Any) -> None:
        """One block at the end of the model's run."""
        opened = self.open(model)
        first = self.broker.run(opened.run).next_index
        block = FrameBlock.of(
            structures, run=opened.run, first=first, model=model, t_pushed=0.0, **fields
        )
        self.push_bytes(encode(block), len(structures), model)

    def push_bytes(self, payload: bytes, n: int = 1, model: str = "tiny") -> None:
        opened = self.open(model)
        self.broker.push(opened, self.broker.run(opened.run).next_index, n, payload)

    def lend(self, to: str = "dead worker") -> list[Entry]:
        """Give everything to a worker that is never heard of again."""
        entries = self.broker.read(to, block_s=0)
        self.broker.release(to, entries)
        return entries

    def results(self, model: str = "tiny") -> list[ResultBlock]:
        lease = self.broker.acquire(0, "me", above=0)
        entries = self.broker.results(lease, "0", block_s=0)
        return sorted(
            (decode(e.payload, ResultBlock) for e in entries if e.run == run_of(model)),
            key=lambda r: r.first,
        )

    def status(self, model: str = "tiny") -> list[int]:
        """The status of every frame of a run, in order, each exactly once."""
        results = self.results(model)
        assert [r.first for r in results] == np.cumsum([0, *(r.n_frames for r in results)])[
            : len(results)
        ].tolist()
        return [int(s) for r in results for s in r.status.view("|u1", -1)]

    def intensity(self, model: str = "tiny") -> np.ndarray:
        """(n_sites, n_energy) of all results of a run."""
        filled = [r for r in self.results(model) if r.model]
        return np.concatenate([r.intensity.view("<f4", -1, -1) for r in filled])

    def dead(self) -> list[DeadLetter]:
        return [decode(raw, DeadLetter) for raw in self.broker.dead_letters(0)]

    def close(self) -> None:
        for isolation in self.isolations:
            isolation.close()


def with_element(structures: StructureBatch, frame: int, number: int) -> StructureBatch:
    """The last atom of one frame becomes another element."""
    numbers = structures.numbers.copy()
    numbers[structures.offsets[frame + 1] - 1] = number
    return replace(structures, numbers=numbers)


def moved(structures: StructureBatch, frame: int, atom: int, to: float) -> StructureBatch:
    """One atom of one frame goes to (to, to, to)."""
    positions = structures.positions.copy()
    positions[structures.offsets[frame] + atom] = to
    return replace(structures, positions=positions)


def run_of(model: str) -> str:
    """The run that asks for a model."""
    return f"run-{model.replace('@', '-')}"
