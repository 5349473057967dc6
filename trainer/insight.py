"""What a model looks at: importance of features, distances, and which features suffice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model_store.bundle import Bundle
from trainer.archive import Labels
from trainer.feature_words import feature_words, kind_of
from trainer.importance import Importance, Tell, importance, untold, windows_of
from trainer.selection import Chosen, select
from xas.descriptor import Descriptor
from xas.edges import edge_energy_ev, element_symbol
from xas.errors import BadLabels, Reject
from xas.structure import Sites

Array = NDArray[np.float64]
Window = tuple[float, float]

BIN_ANGSTROM = 0.1


class Distances(Struct, frozen=True, kw_only=True):
    """How many atoms of each element lie how far from the absorber, a label on average.

    edges_angstrom  (n_bins + 1,)
    per_label       element -> (n_bins,) the mean over labels, the most frequent element first
    """

    edges_angstrom: list[float]
    per_label: dict[str, list[float]]


class Insight(Struct, frozen=True, kw_only=True):
    """Of one model on n labels. ``kinds``: all features of one kind dealt together ("Fe-O radial");
    ``features``: each by itself; both the most important first. ``chosen``: empty unless asked for.
    """

    model: str
    labels: str
    n_labels: int
    windows: dict[str, Window]
    kinds: list[Importance]
    features: list[Importance]
    distances: Distances
    chosen: list[Chosen]


def explain(
    bundle: Bundle,
    labels: Labels,
    *,
    sample: int = 200,
    windows: Sequence[Window] = (),
    repeats: int = 2,
    choose: int = 0,
    seed: int = 2022,
    tell: Tell = untold,
) -> Insight:
    """What a model looks at, on ``sample`` of the labels, drawn by ``seed``.

    windows  eV, from and to; none: up to 15 eV above the edge, and from there on
    choose   so many features are chosen forward and backward; 0: none are
    """
    chosen = _sample(len(labels), sample, seed)
    features, blocks = _features(bundle, labels, chosen)
    target, energy = labels.intensity[chosen], labels.energy
    where = _windows(bundle, energy, windows)
    names = feature_words(bundle.manifest.descriptor, bundle.manifest.element)
    found = [
        importance(
            bundle, features, target, energy, some, where, repeats=repeats, seed=seed, tell=tell
        )
        for some in (blocks, {name: [i] for i, name in enumerate(names)})
    ]
    return Insight(
        model=bundle.reference,
        labels=labels.file,
        n_labels=len(chosen),
        windows={k: (float(energy[v][0]), float(energy[v][-1])) for k, v in where.items()},
        kinds=found[0],
        features=found[1],
        distances=distances_of(labels, chosen, bundle.manifest.descriptor.cutoff_angstrom),
        chosen=_choose(bundle, labels, names, choose, tell) if choose else [],
    )


def distances_of(labels: Labels, chosen: NDArray[np.int64], cutoff_angstrom: float) -> Distances:
    """Of the neighbours of the absorbers within the cutoff."""
    edges = np.arange(0.0, cutoff_angstrom + 0.5 * BIN_ANGSTROM, BIN_ANGSTROM)
    counts = np.zeros((119, len(edges) - 1))
    batch = labels.batch
    for i in chosen:
        first, end = batch.offsets[i], batch.offsets[i + 1]
        atom = int(labels.sites.atom[i])
        away = np.linalg.norm(batch.positions[first:end] - batch.positions[first + atom], axis=1)
        numbers = np.delete(batch.numbers[first:end], atom)
        for z in np.unique(numbers):
            counts[z] += np.histogram(np.delete(away, atom)[numbers == z], edges)[0]
    order = [z for z in np.argsort(-counts.sum(axis=1)) if counts[z].any()]
    return Distances(
        edges_angstrom=edges.round(6).tolist(),
        per_label={element_symbol(int(z)): (counts[z] / len(chosen)).tolist() for z in order},
    )


def _sample(n: int, sample: int, seed: int) -> NDArray[np.int64]:
    if n < 2:
        raise BadLabels("at least two labels are needed: values are dealt from one to another")
    drawn = np.random.default_rng(seed).permutation(n)[:sample]
    return np.sort(drawn)


def _features(
    bundle: Bundle, labels: Labels, chosen: NDArray[np.int64]
) -> tuple[Array, dict[str, list[int]]]:
    """(n, n_features), and the columns of each kind of feature."""
    if labels.element != bundle.manifest.element:
        raise BadLabels(
            f"{labels.file}: labels of {labels.element}, but {bundle.reference} predicts "
            f"{bundle.manifest.element}"
        )
    spec = bundle.manifest.descriptor
    sites = Sites(labels.sites.structure[chosen], labels.sites.atom[chosen])
    blocks: dict[str, list[int]] = {}
    for i, word in enumerate(feature_words(spec, bundle.manifest.element)):
        blocks.setdefault(kind_of(word), []).append(i)
    return Descriptor(spec).featurise(labels.batch, sites).values, blocks


def _windows(
    bundle: Bundle, energy: Array, windows: Sequence[Window]
) -> dict[str, NDArray[np.bool_]]:
    manifest = bundle.manifest
    if not windows:
        return windows_of(energy, edge_energy_ev(manifest.element, manifest.edge))
    named = {"whole spectrum": np.ones(len(energy), dtype=np.bool_)}
    for low, high in windows:
        part = (energy >= low) & (energy <= high)
        if not part.any():
            raise Reject(f"window {low:g}:{high:g} eV: no energy of the labels lies in it")
        named[f"{low:g} to {high:g} eV"] = part
    return named


def _choose(
    bundle: Bundle, labels: Labels, names: tuple[str, ...], keep: int, tell: Tell
) -> list[Chosen]:
    everything = np.arange(len(labels))
    features, _ = _features(bundle, labels, everything)
    return select(features, labels.intensity, labels.groups, names, keep=keep, tell=tell)
