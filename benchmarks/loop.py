"""The closed loop on real data: labels that the system asks for, against labels drawn at random.

    python benchmarks/loop.py --data ../shared/data/fe_k_xanesnet.npz --out loop-out

Begins with some labels, predicts all others as frames without one, asks for labels, gets the
answers from those held back, archives them, trains, judges, promotes, and goes on. The same
functions as the service's, in one process: ArchiveWriter, Workshop.carry_out with the gate's own
rules, the stored bundle by ONNX Runtime, trainer.requests. A fifth of all complexes, grouped, is
never asked for: the errors are those of the champion, and of the newest candidate, on these.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.store import Store
from stream.labels import Label
from stream.sources.label_options import LabelOptions
from stream.sources.npz_labels import read_npz
from trainer.archive import Labels
from trainer.archive_writer import ArchiveWriter
from trainer.gate_plots import svg
from trainer.learnable import champion_of, take_snapshot
from trainer.orders import TrainingOutcome, order_of
from trainer.prediction import predict_labels
from trainer.requests import RequestRules, choose, uncertainty_of
from trainer.training_data import training_data
from trainer.workshop import Workshop, part_of
from xas.descriptor import Descriptor
from xas.measures import percentage_error

NAME = "fe-loop"
WAYS = ("chosen", "random")
HELD_OUT = 0.2
FOLDS = 4  # of 2 the error bars are those of half the labels, and the gate refuses them
NOW = 1.7e9
COLOURS = {"chosen": "#0b6e99", "random": "#b3541e"}
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one training came to; errors in percent, on the held-out complexes."""

    way: str
    seed: int
    n_labels: int
    ending: str
    why: str
    champion: str
    median: float
    mean: float
    worst_tenth: float
    candidate_median: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Task:
    """The data and the size of the loop. labels: all, in the order of ``data``."""

    labels: list[Label]
    data: Labels
    start: int
    batch: int
    rounds: int
    epochs: int

    def held_out(self) -> NDArray[np.bool_]:
        """(n,) the same complexes for every seed; no group is on both sides."""
        groups = np.random.default_rng(0).permutation(np.unique(self.data.groups))
        return np.isin(self.data.groups, groups[: int(HELD_OUT * len(groups))])


class Loop:
    """One way of asking, from the first labels to the last; everything lies in ``folder``."""

    def __init__(self, task: Task, seed: int, folder: Path, way: str = WAYS[0]) -> None:
        self.task, self.way, self.seed, self.folder = task, way, seed, folder
        self.store = Store([folder / "models"], builtin=False)
        self.test = part_of(task.data, task.held_out())
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(~task.held_out()))
        self.known, self.frames = drawn[: task.start], drawn[task.start :]
        self.answer(self.known)

    def branch(self, way: str) -> Loop:
        """Another way of asking, from a copy of all that lies here; the first labels are there."""
        folder = self.folder.with_name(way)
        shutil.copytree(self.folder, folder)
        return Loop(self.task, self.seed, folder, way)

    def answer(self, which: Indices) -> None:
        """The theory code: the labels that were held back, into the archive."""
        with ArchiveWriter(self.folder / "labels") as writer:
            writer.append([self.task.labels[i] for i in which], [NOW] * len(which))
            self.archive = writer.archive

    def train(self) -> tuple[TrainingOutcome, float]:
        """Order and outcome of one training, and its seconds."""
        taken = take_snapshot(self.archive, self.store, NAME)
        changes: dict[str, int | bool] = {"quick": True, "folds": FOLDS, "members": 1}
        changes |= {"epochs": self.task.epochs, "seed": self.seed}
        order = order_of(NAME, taken, "fast", changes, "the loop")
        begun = time.monotonic()
        workshop = Workshop(self.archive, self.store, who="loop")
        outcome = workshop.carry_out(order, self.folder / order.id, lambda _progress: None)
        return outcome, time.monotonic() - begun

    def ask(self) -> None:
        """Predict what has no label, ask for some of it, and get the answers."""
        most = min(self.task.batch, len(self.frames))
        picked = self.choose(most) if self.way == "chosen" else np.arange(most)
        asked = self.frames[picked]
        self.frames = np.delete(self.frames, picked)
        self.known = np.concatenate([self.known, asked])
        self.answer(asked)

    def choose(self, most: int) -> Indices:
        """By the champion's novelty and error bars, as the service would."""
        champion = champion_of(self.store, NAME)
        assert champion is not None
        frames, data = part_of(self.task.data, self.mask(self.frames)), self.task.data
        order = np.argsort(np.argsort(self.frames))  # part_of keeps the order of the data
        said = predict_labels(champion, frames.batch, frames.sites, data.energy).take(order)
        features = Descriptor(champion.manifest.descriptor).featurise(data.batch, data.sites).values
        return choose(
            features[self.frames],
            said.novelty,
            uncertainty_of(said.mean, said.std),
            known=features[self.known],
            most=most,
            rules=RequestRules(per_hour=most),
        )

    def mask(self, which: Indices) -> NDArray[np.bool_]:
        """(n,) which labels of all these are."""
        found = np.zeros(len(self.task.data), dtype=np.bool_)
        found[which] = True
        return found

    def errors(self, bundle: Bundle) -> NDArray[np.float64]:
        """(n,) percent, of a stored model on the complexes that are held out."""
        said = predict_labels(bundle, self.test.batch, self.test.sites, self.test.energy)
        return percentage_error(said.mean, self.test.intensity)

    def round(self) -> Round:
        """Train on what is labelled, and measure."""
        outcome, seconds = self.train()
        champion = champion_of(self.store, NAME)
        assert champion is not None
        errors = self.errors(champion)
        other = self.errors(self.store.get(outcome.candidate)) if outcome.candidate else None
        return Round(
            way=self.way,
            seed=self.seed,
            n_labels=len(self.known),
            ending=outcome.ending,
            why="; ".join(outcome.why),
            champion=champion.reference,
            median=float(np.median(errors)),
            mean=float(errors.mean()),
            worst_tenth=float(np.quantile(errors, 0.9)),
            candidate_median=None if other is None else float(np.median(other)),
            seconds=round(seconds, 1),
        )


def play(task: Task, seed: int) -> Iterator[Round]:
    """All rounds of all ways, which begin with the same model; each is told when it is done."""
    with tempfile.TemporaryDirectory(prefix="edgestream-loop-") as scratch:
        base = Loop(task, seed, Path(scratch) / "base")
        first = base.round()
        for way in WAYS:
            yield told(replace(first, way=way))
            loop = base.branch(way)
            for _ in range(task.rounds):
                loop.ask()
                yield told(loop.round())


def told(done: Round) -> Round:
    """Itself, as a line of the table."""
    print(row(done), flush=True)
    return done


def played(task: Task, seed: int, kept: Path) -> list[Round]:
    """The rounds of a seed; those of an earlier run where ``kept`` has them."""
    if kept.exists():
        return [told(Round(**found)) for found in json.loads(kept.read_text())]
    rounds = list(play(task, seed))
    kept.write_text(json.dumps([asdict(done) for done in rounds], indent=1))
    return rounds


HEADER = (
    "| requests | seed | labels | median % | mean % | worst tenth % | candidate % | gate | time |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |"
)


def row(done: Round) -> str:
    """Of the table."""
    candidate = "-" if done.candidate_median is None else f"{done.candidate_median:.2f}"
    return (
        f"| {done.way} | {done.seed} | {done.n_labels} | {done.median:.2f} | {done.mean:.2f} "
        f"| {done.worst_tenth:.2f} | {candidate} | {done.ending} | {done.seconds:.0f} s |"
    )


def draw(rounds: list[Round], picture: Path) -> None:
    """Error of the champion against the number of labels: each seed thin, their mean thick."""
    measures = {"median": "median error / %", "worst_tenth": "90th percentile of errors / %"}

    def on(figure) -> None:  # type: ignore[no-untyped-def]
        for axes, (measure, label) in zip(figure.subplots(1, 2), measures.items(), strict=True):
            for way in WAYS:
                mine = [r for r in rounds if r.way == way]
                for seed in sorted({r.seed for r in mine}):
                    one = [(r.n_labels, getattr(r, measure)) for r in mine if r.seed == seed]
                    axes.plot(*np.array(one).T, color=COLOURS[way], lw=0.7, alpha=0.5)
                sizes = sorted({r.n_labels for r in mine})
                mean = [
                    np.mean([getattr(r, measure) for r in mine if r.n_labels == n]) for n in sizes
                ]
                axes.plot(sizes, mean, "o-", color=COLOURS[way], label=way)
            axes.set(xlabel="labels in the archive", ylabel=label)
        axes.legend(title="requests")

    picture.write_text(svg((8.0, 3.4), on))


def task_of(words: argparse.Namespace) -> Task:
    """The labels of a file, those that are labels."""
    found = read_npz(words.data, LabelOptions(theory=words.theory))
    labels = [label for label in found if isinstance(label, Label)]
    data = training_data(labels, file=words.data.name, sha256="")
    sizes = {key: getattr(words, key) for key in ("start", "batch", "rounds", "epochs")}
    return Task(labels=labels, data=data, **sizes)


def main() -> None:
    """Play all seeds and ways; a table on standard output, the picture after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--theory", default="FDMNES")
    parser.add_argument("--out", type=Path, default=Path("loop-out"))
    for name, value in {"start": 300, "batch": 200, "rounds": 3, "epochs": 16, "seeds": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    task = task_of(words)
    n_test = int(task.held_out().sum())
    print(f"{len(task.labels)} labels, {n_test} of other complexes to measure by", flush=True)
    print(HEADER, flush=True)
    rounds: list[Round] = []
    for seed in range(1, words.seeds + 1):
        rounds += played(task, seed, words.out / f"seed-{seed}.json")
        draw(rounds, words.out / "loop.svg")
    print(f"picture: {words.out / 'loop.svg'}")


if __name__ == "__main__":
    main()
