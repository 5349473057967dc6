"""How often poisoned batches of labels are refused, and honest ones not accepted.

    python benchmarks/poison.py ../shared/data --batches 200
    python benchmarks/poison.py ../shared/data --batches 200 --predictions kept.npz

Honest labels are predicted by models that have not seen them: out of fold by formula, and whole
chemistries by models trained on all labels without that element. The fits take ten minutes of two
quiet cores; --predictions keeps what they said. Each batch is drawn by its number, its size from 8
to 100. "refused" counts refusals, "kept back" also quarantine, "right reason" those that name it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgestream.models import open_store
from trainer.archive import Labels, read_labels
from trainer.prediction import Prediction, normal_reach, on_grid, predict_labels
from trainer.suspicion import examine
from xas.structure import StructureBatch

Array = np.ndarray[Any, np.dtype[Any]]
Batch = tuple[Array, Array, Prediction]
CHEMISTRIES = {"S": (16,), "P": (15,), "S or P": (15, 16), "halogens": (9, 17, 35, 53), "Si": (14,)}
SIZES = (8, 12, 20, 40, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--predictions", type=Path, default=Path("poison-predictions.npz"))
    asked = parser.parse_args()
    labels = read_labels(asked.data / "fe_k_xanesnet.npz")
    if not asked.predictions.is_file():
        np.savez(asked.predictions, **fitted(labels))
    kept = dict(np.load(asked.predictions))
    print(
        f"{'batches':34s} {'n':>4s} {'refused %':>10s} {'kept back %':>12s} {'right reason %':>15s}"
    )
    for name, reason, draw in kinds(asked.data, labels, kept):
        found = [examine(*draw(np.random.default_rng(seed))) for seed in range(asked.batches)]
        refused = [f.decision == "refuse" for f in found]
        back = [f.decision != "accept" for f in found]
        right = [reason in {r.kind for r in f.reasons} for f in found]
        told = f"{100 * np.mean(right):15.1f}" if reason else ""
        rates = f"{100 * np.mean(refused):10.1f} {100 * np.mean(back):12.1f}"
        print(f"{name:34s} {len(found):4d} {rates} {told}", flush=True)


def fitted(labels: Labels) -> dict[str, Array]:
    """What models say of labels that they have not seen."""
    from trainer.evaluate import cross_validate
    from trainer.fit import fit
    from trainer.predictor import answer, assemble
    from trainer.progress import Clock
    from trainer.recipe import recipe_of
    from trainer.train import featurise

    recipe = recipe_of("fast", members=3, epochs=60, threads=2)
    features = featurise(recipe, labels)
    said = cross_validate(recipe, labels, features, Clock(total=1))
    errors = said.error_model(labels)
    kept = {"mean": said.mean, "std": said.sigma(labels), "novelty": said.novelty}
    owner = np.repeat(np.arange(len(labels)), np.diff(labels.batch.offsets))
    for name, elements in CHEMISTRIES.items():
        has = np.isin(np.arange(len(labels)), owner[np.isin(labels.batch.numbers, elements)])
        ensemble = fit(recipe, features[~has], labels.intensity[~has])
        model = assemble(ensemble, errors, said.novelty_unit, labels.energy, features[~has])
        mean, std, novelty = answer(model, features[has])
        new = {"index": np.flatnonzero(has), "mean": mean, "std": std, "novelty": novelty}
        kept |= {f"{name} {key}": value for key, value in new.items()}
    return kept


def kinds(
    data: Path, labels: Labels, kept: dict[str, Array]
) -> Iterator[tuple[str, str, Callable[[np.random.Generator], Batch]]]:
    """Name, the reason that is right, and what draws a batch."""
    energy, target = labels.energy, labels.intensity
    known = said_of(kept, "")

    def honest(random: np.random.Generator) -> Batch:
        chosen = drawn(random, len(labels))
        return energy, target[chosen], known.take(chosen)

    def spoiled(spoil: Callable[[np.random.Generator, Array], Array]) -> Any:
        def draw(random: np.random.Generator) -> Batch:
            grid, rows, said = honest(random)
            return grid, spoil(random, rows), said

        return draw

    yield "honest, out of fold", "", honest
    for name in CHEMISTRIES:
        if f"{name} index" in kept:
            yield f"honest, {name} never seen", "", new_chemistry(labels, kept, name)
    yield "shuffled", "shuffled", spoiled(lambda random, rows: random.permutation(rows))
    yield "half of it shuffled", "shuffled", spoiled(half_shuffled)
    for name in CHEMISTRIES:
        if f"{name} index" in kept:
            draw = new_chemistry(labels, kept, name, shuffled=True)
            yield f"shuffled, {name} never seen", "shuffled", draw
    yield "x 1000", "scale", spoiled(lambda _random, rows: 1000.0 * rows)
    yield "divided by its maximum", "scale", spoiled(lambda _random, rows: rows / rows.max())
    for shift in (5.0, 1.5, -1.5):
        yield (
            f"{shift:+g} eV",
            "shift",
            spoiled(lambda _random, rows, s=shift: moved(energy, rows, s)),
        )
    yield from theories(data, labels, known)
    yield from copper(data)


def theories(data: Path, labels: Labels, known: Prediction) -> Iterator[Any]:
    """FEFF10 spectra of the same complexes, as they are, normalised, and among FDMNES ones."""
    with np.load(data / "fe_k_feff10.npz") as file:
        feff, index = file["mu"].astype(np.float64), file["in_train"]
    level = labels.intensity[index].mean() / feff.mean()

    def draw(random: np.random.Generator, factor: float, share: float) -> Batch:
        chosen = drawn(random, len(feff))
        other = np.arange(len(chosen)) < share * len(chosen)
        rows = np.where(other[:, None], factor * feff[chosen], labels.intensity[index[chosen]])
        return labels.energy, rows, known.take(index[chosen])

    yield "FEFF10", "theory", lambda random: draw(random, 1.0, 1.0)
    yield "FEFF10, normalised", "theory", lambda random: draw(random, level, 1.0)
    yield "half of it FEFF10", "theory", lambda random: draw(random, 1.0, 0.5)
    yield "half of it FEFF10, normalised", "theory", lambda random: draw(random, level, 0.5)


def copper(data: Path) -> Iterator[Any]:
    """Cu sites and spectra called Fe, moved onto the Fe edge; predicted by fe-k."""
    labels = read_labels(data / "cu_k_omnixas.npz", 1000)
    numbers = labels.batch.numbers.copy()
    numbers[labels.batch.offsets[:-1]] = 26
    batch = StructureBatch.from_arrays(numbers, labels.batch.positions, labels.batch.offsets)
    energy = np.linspace(7097.0, 7172.0, 226)
    rows = on_grid(labels.energy - 8979.0 + 7112.0, labels.intensity, energy)
    said = predict_labels(open_store().get("fe-k@1"), batch, labels.sites, energy)

    def draw(random: np.random.Generator, factor: float) -> Batch:
        chosen = drawn(random, len(rows))
        return energy, factor * rows[chosen], said.take(chosen)

    level = float(np.median(said.mean.sum(axis=1) / rows.sum(axis=1)))
    yield "Cu called Fe", "scale", lambda random: draw(random, 1.0)
    yield "Cu called Fe, normalised", "", lambda random: draw(random, level)


def new_chemistry(
    labels: Labels, kept: dict[str, Array], name: str, *, shuffled: bool = False
) -> Callable[[np.random.Generator], Batch]:
    said, index = said_of(kept, f"{name} "), kept[f"{name} index"]

    def draw(random: np.random.Generator) -> Batch:
        chosen = drawn(random, len(index))
        rows = labels.intensity[index[chosen]]
        return labels.energy, random.permutation(rows) if shuffled else rows, said.take(chosen)

    return draw


def said_of(kept: dict[str, Array], name: str) -> Prediction:
    mean, std, novelty = (kept[f"{name}{key}"].astype(float) for key in ("mean", "std", "novelty"))
    return Prediction(mean=mean, std=std, novelty=novelty, reach=normal_reach())


def drawn(random: np.random.Generator, n: int) -> Array:
    return random.choice(n, min(n, int(random.choice(SIZES))), replace=False)


def half_shuffled(random: np.random.Generator, rows: Array) -> Array:
    half = len(rows) // 2
    return np.concatenate([random.permutation(rows[:half]), rows[half:]])


def moved(energy: Array, rows: Array, shift: float) -> Array:
    return np.array([np.interp(energy - shift, energy, row) for row in rows])


if __name__ == "__main__":
    main()
