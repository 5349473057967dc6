"""The closed loop on real data: labels that the system asks for, against labels drawn at random.

    python benchmarks/loop.py --data ../shared/data/fe_k_xanesnet.npz --out loop-out
    python benchmarks/loop.py ... --service          the first seed, through the running service

Begins with some labels, predicts all others as frames without one, asks for labels, gets the
answers from those held back, archives them, trains, judges, promotes, and goes on. The same
functions as the service's, in one process: Asker, ArchiveWriter, Workshop.carry_out with the gate's
own rules, the stored bundle by ONNX Runtime. With --service all runs as its users run it
(``loop_service``). A fifth of all complexes, grouped, is never asked for: the errors are those of
the champion, and of the newest candidate, on these.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
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
from trainer.asking import Asker
from trainer.gate_plots import svg
from trainer.learnable import champion_of, take_snapshot
from trainer.orders import TrainingOutcome, order_of
from trainer.prediction import predict_labels
from trainer.requests import RequestRules
from trainer.training_data import training_data
from trainer.workshop import Workshop, part_of
from xas.measures import percentage_error
from xas.structure import Sites

NAME = "fe-loop"
WAYS = ("chosen", "random")
SERVICE = "service"
PRESET = "fast"
HELD_OUT = 0.2
NOW = 1.7e9
COLOURS = {"chosen": "#0b6e99", "random": "#b3541e", SERVICE: "#3a7d2c"}
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

    def held_out(self) -> NDArray[np.bool_]:
        """(n,) the same complexes for every seed; no group is on both sides."""
        groups = np.random.default_rng(0).permutation(np.unique(self.data.groups))
        return np.isin(self.data.groups, groups[: int(HELD_OUT * len(groups))])

    def drawn(self, seed: int) -> tuple[Indices, Indices]:
        """The first labels of a seed, and the frames that have none."""
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(~self.held_out()))
        return drawn[: self.start], drawn[self.start :]

    def errors(self, bundle: Bundle) -> NDArray[np.float64]:
        """(n,) percent, of a stored model on the complexes that are held out."""
        test = part_of(self.data, self.held_out())
        said = predict_labels(bundle, test.batch, test.sites, test.energy)
        return percentage_error(said.mean, test.intensity)


class Loop:
    """One way of asking, from the first labels to the last; everything lies in ``folder``."""

    def __init__(self, task: Task, seed: int, folder: Path, way: str = WAYS[0]) -> None:
        self.task, self.way, self.seed, self.folder = task, way, seed, folder
        self.store = Store([folder / "models"], builtin=False)
        self.known, self.frames = task.drawn(seed)
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

    def train(self) -> TrainingOutcome:
        """Order and outcome of one training."""
        taken = take_snapshot(self.archive, self.store, NAME)
        order = order_of(NAME, taken, PRESET, {"seed": self.seed}, "the loop")
        workshop = Workshop(self.archive, self.store, who="loop")
        return workshop.carry_out(order, self.folder / order.id, lambda _progress: None)

    def ask(self) -> None:
        """Predict what has no label, ask for some of it, and get the answers."""
        most = min(self.task.batch, len(self.frames))
        picked = self.choose(most) if self.way == "chosen" else np.arange(most)
        asked = self.frames[picked]
        self.frames = np.delete(self.frames, picked)
        self.known = np.concatenate([self.known, asked])
        self.answer(asked)

    def choose(self, most: int) -> Indices:
        """As the service does: where in the frames the requests are."""
        asker = Asker(self.store, NAME, self.folder / "labels", RequestRules(per_hour=10**6))
        asker.look(
            self.task.data.batch,
            Sites(np.sort(self.frames), np.zeros(len(self.frames), dtype=np.int64)),
            [str(i) for i in range(len(self.task.data))],
        )
        asked = [int(request.name) for request in asker.ask(most)]
        return np.flatnonzero(np.isin(self.frames, asked))

    def round(self) -> Round:
        """Train on what is labelled, and measure."""
        return round_of(self.task, self.store, self.train(), self.way, self.seed)


def round_of(task: Task, store: Store, outcome: TrainingOutcome, way: str, seed: int) -> Round:
    """Measure what a training came to."""
    champion = champion_of(store, NAME)
    assert champion is not None
    errors = task.errors(champion)
    other = task.errors(store.get(outcome.candidate)) if outcome.candidate else None
    return Round(
        way=way,
        seed=seed,
        n_labels=outcome.n_labels,
        ending=outcome.ending,
        why="; ".join(outcome.why),
        champion=champion.reference,
        median=float(np.median(errors)),
        mean=float(errors.mean()),
        worst_tenth=float(np.quantile(errors, 0.9)),
        candidate_median=None if other is None else float(np.median(other)),
        seconds=outcome.duration_s,
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


def played(
    play: Callable[[Task, int], Iterator[Round]], task: Task, seed: int, kept: Path
) -> list[Round]:
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
            for way in sorted({r.way for r in rounds}):
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
    sizes = {key: getattr(words, key) for key in ("start", "batch", "rounds")}
    return Task(labels=labels, data=data, **sizes)


def main() -> None:
    """Play all seeds and ways; a table on standard output, the picture after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--theory", default="FDMNES")
    parser.add_argument("--out", type=Path, default=Path("loop-out"))
    for name, value in {"start": 300, "batch": 200, "rounds": 3, "seeds": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--service", action="store_true", help="seed 1 through the service")
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    task = task_of(words)
    n_test = int(task.held_out().sum())
    print(f"{len(task.labels)} labels, {n_test} of other complexes to measure by", flush=True)
    print(HEADER, flush=True)
    rounds: list[Round] = []
    for seed in range(1, words.seeds + 1):
        rounds += played(play, task, seed, words.out / f"seed-{seed}.json")
        draw(rounds, words.out / "loop.svg")
    if words.service:
        from loop_service import play_service

        rounds += played(play_service, task, 1, words.out / "service-1.json")
        draw(rounds, words.out / "loop.svg")
    print(f"picture: {words.out / 'loop.svg'}")


if __name__ == "__main__":
    main()
