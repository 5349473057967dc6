"""Few labels of another theory: what a start from a trained model is worth.

    python benchmarks/transfer.py --data ../shared/data [--plot curve.png]

FDMNES is the theory that is known (fe_k_xanesnet.npz), FEFF10 the new one (fe_k_feff10.npz). For
each of 5 folds a model of the known theory is fitted without the formulas of the fold; n labels of
the new one are drawn from the other folds, and errors are of the fold. "from scratch" is kernel
ridge regression on the same features (Matern kernel, standardised). Minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from trainer.archive import Labels, grouped_folds, read_labels
from trainer.fit import fit, predict
from trainer.networks import CLIP, Ensemble
from trainer.recipe import recipe_of
from trainer.train import featurise
from trainer.transfer import Known, fit_transfer
from xas.measures import percentage_error

SIZES = (50, 100, 200, 400)
FOLDS = 5
DRAWS = 3
GIVEN = {50: 6.0, 100: 5.1, 200: 4.5, 400: 3.8}  # kernel ridge from scratch, shared/data/README


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--plot", type=Path, help="Draw the curve into this file.")
    given = options.parse_args()
    table = measure(given.data)
    print("labels   from scratch   start from the known theory   (given: scratch)")
    for n, (scratch, started) in table.items():
        print(f"{n:6d}   {scratch:10.2f} %   {started:25.2f} %   {GIVEN[n]:14.1f} %")
    if given.plot:
        draw(table, given.plot)


def measure(data: Path) -> dict[int, tuple[float, float]]:
    """Median percentage error of unseen formulas, from scratch and started, by number of labels."""
    old, new = (read_labels(data / f"{f}.npz") for f in ("fe_k_xanesnet", "fe_k_feff10"))
    old_features, features = (featurise(recipe_of("fast"), labels) for labels in (old, new))
    fold = grouped_folds(new.groups, FOLDS, 2022)
    errors: dict[int, list[list[np.ndarray]]] = {n: [[], []] for n in SIZES}
    rng = np.random.default_rng(0)
    for k in range(FOLDS):
        test = fold == k
        known = asked(known_without(old, old_features, new.groups[test]), features)
        for n in SIZES:
            for _ in range(DRAWS):
                some = rng.permutation(np.flatnonzero(~test))[:n]
                started = fit_transfer(known.take(some), new.intensity[some], new.weights[some])
                answers = (
                    from_scratch(features[some], new.intensity[some], features[test]),
                    started.predict(known.take(test)),
                )
                for kept, answer in zip(errors[n], answers, strict=True):
                    kept.append(percentage_error(answer, new.intensity[test]))
    medians = {n: [float(np.median(np.concatenate(e))) for e in both] for n, both in errors.items()}
    return {n: (both[0], both[1]) for n, both in medians.items()}


def known_without(labels: Labels, features: np.ndarray, formulas: np.ndarray) -> Ensemble:
    """A model of the known theory that has seen none of these formulas."""
    kept = ~np.isin(labels.groups, formulas)
    return fit(recipe_of("fast"), features[kept], labels.intensity[kept])


def asked(model: Ensemble, features: np.ndarray) -> Known:
    """What it knows of structures, as ``trainer.transfer.Start`` reads it from a bundle."""
    members, shares = predict(model, features), model.shares.numpy()
    clipped = model.scaled(torch.from_numpy(features.astype(np.float32))).clamp(-CLIP, CLIP)
    assert model.kernel is not None
    place = (clipped @ model.kernel.metric).numpy().astype(np.float64)
    mean = np.tensordot(shares, members, 1).astype(np.float64)
    return Known(mean, place, np.ones(len(mean)))


def from_scratch(features: np.ndarray, spectra: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Kernel ridge regression, as given in the README of the data."""
    centre, scale = features.mean(axis=0), (features.std(axis=0) + 1e-3) ** 0.75
    x, z = (features - centre) / scale, (asked - centre) / scale
    length = 4.0 * np.median(distances(x, x))
    kernel = matern(distances(x, x) / length)
    level = spectra.mean(axis=0)
    kernel[np.diag_indices(len(kernel))] += 1e-3
    return level + matern(distances(z, x) / length) @ np.linalg.solve(kernel, spectra - level)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0))


def matern(r: np.ndarray) -> np.ndarray:
    return (1.0 + 3.0**0.5 * r) * np.exp(-(3.0**0.5) * r)


def draw(table: dict[int, tuple[float, float]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), constrained_layout=True)
    for i, name in enumerate(("from scratch", "start from FDMNES")):
        axes.plot(list(table), [both[i] for both in table.values()], "o-", label=name)
    axes.plot(list(GIVEN), list(GIVEN.values()), "k--", label="kernel ridge, as given")
    axes.set(xscale="log", xlabel="FEFF10 labels", ylabel="median error / %")
    axes.set_xticks(list(table), [str(n) for n in table])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
