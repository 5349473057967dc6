"""What a training writes into the manifest."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from model_store.bundle import Bundle
from model_store.manifest import (
    Calibration,
    Coverage,
    Dataset,
    Measures,
    PeakErrors,
    PercentErrors,
    Training,
)
from trainer.archive import Labels
from trainer.recipe import Recipe
from trainer.sources import Source

PUBLISHED = "published network (Rankine and Penfold 2022)"
START_LEARNED, UNKNOWN = "start_learned", "not known"
"""In the recipe of a transfer: the SHA-256 of all labels that its start has learned from."""
BASELINE = "descriptor and network of the paper, fitted here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for: how to write the training down so that it can be repeated."""

    name: str
    edge: str
    preset: str
    command: str
    source: Source


def split_name(labels: Labels, recipe: Recipe) -> str:
    """Which spectra the measures are of, and what the models had seen of them."""
    times = f", {recipe.repeats} times" if recipe.repeats > 1 else ""
    return (
        f"out of fold: {recipe.folds}-fold cross-validation on the training data{times}, "
        f"no {labels.grouped_by} in two folds"
    )


def published_rows() -> tuple[Measures, Measures]:
    """The published figures for the XANESNET Fe K set, on held-out spectra that we do not have."""
    split = "published held-out set, not these spectra"
    common: dict[str, Any] = {"model": PUBLISHED, "split": split, "n_spectra": 0}
    plain = PercentErrors(median=4.7, lower_quartile=3.1, upper_quartile=7.2)
    broad = PercentErrors(median=3.1, lower_quartile=2.0, upper_quartile=4.8)
    return (
        Measures(**common, broadened=False, percent=plain, peaks=PeakErrors(mean_ev=0.83)),
        Measures(**common, broadened=True, percent=broad),
    )


def training_record(
    request: Request, seed: int, settings: dict[str, Any], labels: Labels, duration_s: float
) -> Training:
    """The manifest's part about the training."""
    return Training(
        command=request.command,
        preset=request.preset,
        seed=seed,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        duration_s=round(duration_s, 1),
        data=Dataset(
            file=labels.file,
            sha256=labels.sha256,
            n_labels=len(labels),
            n_groups=labels.n_groups,
            source=request.source.source,
            licence=request.source.licence,
            citation=request.source.citation,
        ),
        recipe=settings,
        versions=_versions(),
    )


def learned_by(start: Bundle) -> list[str]:
    """SHA-256 of all labels that a model has learned from, its own start's too."""
    training = start.manifest.training
    if training is None:
        return [UNKNOWN]
    return [training.data.sha256, *training.recipe.get(START_LEARNED, [])]


def calibration_record(
    figures: dict[str, float], split: str, coverage: tuple[Coverage, ...]
) -> Calibration:
    """The manifest's part about error bars and novelty."""
    return Calibration(
        method=(
            "sigma^2 = (factor * spread)^2 + (floor(E) * novelty^growth)^2, the members' variance "
            "averaged over 2 eV (one network alone has none); the mix of best ranked probability "
            "score, scaled so that one sigma holds 68.27 % of all points. Errors have longer tails "
            "than a normal distribution: interval_68, interval_95 and interval_99 are the "
            "multiples of sigma that hold 68.27, 95.45 and 99.73 % (conformal). Novelty: distance "
            "from the training data in standardised features; 1 is the 99th percentile of held-out "
            "spectra. Coverage and intervals are of calibrations that had not seen the fold."
        ),
        split=split,
        figures=figures,
        coverage=coverage,
    )


def _versions() -> dict[str, str]:
    packages = ("edgestream", "torch", "onnx", "numpy")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found | {"machine": f"{platform.machine()}, {os.cpu_count()} cores"}
