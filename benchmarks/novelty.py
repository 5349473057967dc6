"""How well the novelty tells structures of another kind from new ones of the same kind.

    python benchmarks/novelty.py --data ../shared/data

Nothing is fitted to spectra: novelty needs structures alone. For each chemistry of the Fe complexes
(those that hold P, S, ...) a novelty is built without it. The area under the ROC curve is the
chance that a complex of that chemistry is called more novel than a held-out one (no common formula)
of another. Then the features of the built-in cu-k: Fe complexes against Cu sites of materials that
the novelty had not seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from trainer.archive import Labels, grouped_folds, read_labels
from trainer.calibrate import novelty_arrays
from trainer.networks import FAR, Novelty
from trainer.principal import standard_scale
from trainer.recipe import Recipe, recipe_of
from trainer.train import featurise
from xas.edges import atomic_number

CHEMISTRIES = ("P", "S", "F", "Cl", "Br", "I", "Si", "B")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = asked.parse_args().data
    iron, copper = (read_labels(data / f"{f}.npz") for f in ("fe_k_xanesnet", "cu_k_omnixas"))
    print("kind                         structures   area under the ROC curve")
    recipe = recipe_of("default")
    features = featurise(recipe, iron)
    for symbol in CHEMISTRIES:
        strange = holds(iron, symbol)
        area = removed(recipe, features, strange, grouped_folds(iron.groups, 5, 2022) == 0)
        print(f"Fe complexes with {symbol:<10} {strange.sum():10d}   {area:.3f}")
    recipe = recipe_of("materials")
    sites, molecules = featurise(recipe, copper), featurise(recipe, iron)
    test = grouped_folds(copper.groups, 5, 2022) == 0
    area = told_apart(recipe, sites[~test], sites[test], molecules)
    print(f"Fe complexes, to cu-k        {len(molecules):10d}   {area:.3f}")


def holds(labels: Labels, symbol: str) -> np.ndarray:
    """Which structures hold an element, (n,) bool."""
    present = labels.batch.numbers == atomic_number(symbol)
    return np.add.reduceat(present, labels.batch.offsets[:-1]) > 0


def removed(recipe: Recipe, features: np.ndarray, strange: np.ndarray, test: np.ndarray) -> float:
    """The area for a chemistry that a novelty never saw."""
    known = features[~strange & ~test]
    return told_apart(recipe, known, features[~strange & test], features[strange])


def told_apart(recipe: Recipe, known: np.ndarray, same: np.ndarray, strange: np.ndarray) -> float:
    """The area under the ROC curve of novelty, by ranks (Mann and Whitney)."""
    centre, scale, _ = standard_scale(known)

    def scaled(x: np.ndarray) -> np.ndarray:
        return np.clip((x - centre) * scale, -FAR, FAR)

    novelty = Novelty(novelty_arrays(scaled(known), recipe.landmarks))
    own, other = (
        novelty(torch.from_numpy(scaled(x).astype(np.float32))).numpy() for x in (same, strange)
    )
    order = np.sort(own)
    below = np.searchsorted(order, other, "left") + np.searchsorted(order, other, "right")
    return float(below.mean() / (2 * len(own)))


if __name__ == "__main__":
    main()
