"""Labels in, a bundle in the store out: evaluate, fit, calibrate, export."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import manifest as manifests
from model_store.bundle import Bundle, Check, check_bytes
from model_store.manifest import (
    CHECK,
    MANIFEST,
    MODEL,
    Calibration,
    Manifest,
    Measures,
    SpectrumOutput,
    StructureInput,
    sha256_of,
)
from model_store.store import Store
from trainer.archive import Labels, read_labels
from trainer.check_input import check_structures
from trainer.extra import require_extra
from trainer.kept_answers import KEPT, KeptAnswers
from trainer.progress import Callback, Clock
from trainer.recipe import Recipe, recipe_of
from trainer.report import (
    BASELINE,
    START_LEARNED,
    Request,
    calibration_record,
    learned_by,
    published_rows,
    split_name,
    training_record,
)
from trainer.sources import FE_K_XANESNET, Source, source_of
from xas.descriptor import Descriptor
from xas.edges import edge_energy_ev
from xas.errors import Reject

Array = NDArray[np.float64]
Answer = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def train(
    name: str,
    data: Path | Labels,
    out: Store,
    *,
    preset: str = "default",
    edge: str = "K",
    members: int | None = None,
    folds: int | None = None,
    repeats: int | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    quick: bool = False,
    start_from: Bundle | None = None,
    baseline: bool = False,
    limit: int | None = None,
    source: Source | None = None,
    command: str = "",
    progress: Callback | None = None,
    checkpoints: Path | None = None,
) -> Bundle:
    """Fit an ensemble to labels, or a file of them, and put it into ``out`` as the next version.

    Its quality is found by cross-validation in which no group of labels is on both sides; the model
    itself is then fitted to all labels. None leaves a setting as the preset has it. ``baseline``
    adds the paper's descriptor and network on the same folds to the table, which takes longer than
    all the rest. ``limit`` takes the first labels only; ``quick`` shrinks everything.
    With ``start_from`` the labels only correct what that model says (``trainer.transfer``): a
    second, and good for few labels of another theory; of the settings, folds and seed then count.
    ``command`` is written down as what repeats the training. Nothing is stored unless all succeeds.
    ``checkpoints``: a folder where each fitted member is kept, so that the same call goes on there.

    Raises BadLabels for the data, and Reject for settings that make no sense or where the ``train``
    extra is missing.
    """
    require_extra()
    changes = {"members": members, "folds": folds, "repeats": repeats}
    changes |= {"epochs": epochs, "seed": seed}
    recipe = recipe_of(preset, quick=quick, threads=threads, **changes)
    _require_sense(name, recipe)
    labels = data if isinstance(data, Labels) else read_labels(data, limit)
    edge_energy_ev(labels.element, edge)  # refuses an edge that the element lacks, before the work
    told = _command(name, labels.file, preset, edge, quick, threads, changes)
    if start_from is not None:
        told += f" --start-from {start_from.reference}"
    request = Request(
        name=name,
        edge=edge,
        preset=preset,
        command=command or told,
        source=source or source_of(labels.sha256),
    )
    if start_from is not None:
        recipe = replace(recipe, descriptor=start_from.manifest.descriptor, repeats=1)
        trained = _transferred(request, recipe, labels, start_from)
    else:
        trained = _train(request, recipe, labels, baseline, progress, checkpoints)
    with tempfile.TemporaryDirectory(prefix="edgestream-train-") as scratch:
        _write(Path(scratch), request, labels, trained)
        version = out.put(Path(scratch))
    return out.get(f"{name}@{version}")


def _command(
    name: str,
    data: str,
    preset: str,
    edge: str,
    quick: bool,
    threads: int | None,
    changes: dict[str, int | None],
) -> str:
    """The command line that repeats a training, defaults left out."""
    options: dict[str, str | int | None] = {"preset": preset if preset != "default" else None}
    options |= {"edge": edge if edge != "K" else None, **changes, "threads": threads}
    words = [f"--{key} {value}" for key, value in options.items() if value is not None]
    return " ".join(["edgestream train", name, "--data", data, *words, *["--quick"] * quick])


@dataclass(frozen=True, slots=True)
class _Trained:
    """kept: what the folds said, as a file; empty where it could judge nothing."""

    recipe: Recipe
    settings: dict[str, Any]
    members: int
    onnx: bytes
    kept: bytes
    answer: Callable[[Array], Answer]
    quality: tuple[Measures, ...]
    calibration: Calibration
    duration_s: float


def _require_sense(name: str, recipe: Recipe) -> None:
    if not manifests.NAME.fullmatch(name):
        raise Reject(f"{name!r} is no name of a model (letters, digits, . _ - up to 64)")
    for key in ("members", "folds", "repeats", "epochs", "threads"):
        if getattr(recipe, key) < (least := 2 if key == "folds" else 1):
            raise Reject(f"{key} = {getattr(recipe, key)}: at least {least} is needed")


def _train(
    request: Request,
    recipe: Recipe,
    labels: Labels,
    compare: bool,
    progress: Callback | None,
    checkpoints: Path | None,
) -> _Trained:
    from trainer.checkpoints import Checkpoints
    from trainer.evaluate import cross_validate, measures
    from trainer.export import to_onnx
    from trainer.fit import fit
    from trainer.predictor import answer, assemble

    paper = recipe_of("xanesnet-2022", folds=recipe.folds, seed=recipe.seed) if compare else None
    clock = Clock(
        total=_epochs(recipe) + recipe.members * recipe.epochs + (_epochs(paper) if paper else 0)
    )
    clock.callback = progress
    clock.checkpoints = None if checkpoints is None else Checkpoints(checkpoints)
    split = split_name(labels, recipe)
    features = featurise(recipe, labels)
    held_out = cross_validate(recipe, labels, features, clock).in_proportion(labels.weights)
    energy, edge_ev = labels.energy, edge_energy_ev(labels.element, request.edge)
    error_model, sigma = held_out.error_model(energy), held_out.sigma(energy)
    quality = [*measures(request.name, split, labels, request.edge, held_out, sigma)]
    if paper:
        clock.model = BASELINE
        known = cross_validate(paper, labels, featurise(paper, labels), clock)
        known = known.in_proportion(labels.weights)
        quality += measures(BASELINE, split, labels, request.edge, known, known.sigma(energy))
        clock.model = ""
    if labels.sha256 == FE_K_XANESNET:
        quality += published_rows()
    clock.stage = "fit to all labels"
    ensemble = fit(
        recipe, features, labels.intensity, clock.epoch, clock.checkpoints, labels.weights
    )
    predictor = assemble(ensemble, error_model, held_out.novelty_unit, energy, features)
    calibration = calibration_record(
        held_out.figures(error_model, sigma), split, held_out.coverage(energy, edge_ev, sigma)
    )
    return _Trained(
        recipe,
        recipe.as_dict(),
        recipe.members,
        to_onnx(predictor),
        KeptAnswers.of(held_out, sigma).encode(),
        partial(answer, predictor),
        tuple(quality),
        calibration,
        clock.elapsed_s,
    )


def _transferred(request: Request, recipe: Recipe, labels: Labels, start: Bundle) -> _Trained:
    from trainer.evaluate import measures
    from trainer.transfer import Start, fit_transfer
    from trainer.transfer_evaluate import cross_validate_transfer
    from trainer.transfer_export import answer, extended

    clock = Clock(total=1)
    begun = Start(start)
    known = begun.of(featurise(recipe, labels))
    held_out = cross_validate_transfer(recipe, labels, known).in_proportion(labels.weights)
    split = (
        f"{split_name(labels, recipe)}; {start.reference}, from which it started, may have seen "
    )
    split += "the structures with other spectra"
    energy, edge_ev = labels.energy, edge_energy_ev(labels.element, request.edge)
    model, sigma = held_out.error_model(energy), held_out.sigma(energy)
    transfer = fit_transfer(known, labels.intensity, labels.weights)
    return _Trained(
        recipe,
        {
            "start": start.reference,
            "start_sha256": start.sha256,
            START_LEARNED: learned_by(start),
            "folds": recipe.folds,
        },
        start.manifest.members,
        extended((start.folder / MODEL).read_bytes(), transfer, model.floor),
        b"",  # its folds began with a start that may know the labels of all of them
        partial(answer, begun, transfer, model.floor),
        measures(request.name, split, labels, request.edge, held_out, sigma),
        calibration_record(
            held_out.figures(model, sigma), split, held_out.coverage(energy, edge_ev, sigma)
        ),
        clock.elapsed_s,
    )


def _epochs(recipe: Recipe) -> int:
    return recipe.repeats * recipe.folds * recipe.members * recipe.epochs


def featurise(recipe: Recipe, labels: Labels) -> Array:
    """(n, n_features) as the network sees them in a worker: rounded to float32."""
    found = Descriptor(recipe.descriptor).featurise(labels.batch, labels.sites)
    return found.values.astype(np.float32).astype(np.float64)


def _write(folder: Path, request: Request, labels: Labels, trained: _Trained) -> None:
    (folder / MODEL).write_bytes(trained.onnx)
    if trained.kept:
        (folder / KEPT).write_bytes(trained.kept)
    (folder / CHECK).write_bytes(check_bytes(_check(trained, labels.element)))
    manifest = _manifest(folder, request, labels, trained)
    manifests.validate(manifest, str(folder))
    (folder / MANIFEST).write_bytes(manifests.encode(manifest))


def _files(trained: _Trained) -> tuple[str, ...]:
    return (MODEL, CHECK, KEPT) if trained.kept else (MODEL, CHECK)


def _check(trained: _Trained, element: str) -> Check:
    batch, sites = check_structures(element)
    features = Descriptor(trained.recipe.descriptor).featurise(batch, sites).values
    return Check(batch, sites, *trained.answer(features))


def _manifest(folder: Path, request: Request, labels: Labels, trained: _Trained) -> Manifest:
    recipe = trained.recipe
    return Manifest(
        name=request.name,
        version=1,  # the store gives the version
        element=labels.element,
        edge=request.edge,
        summary=f"{labels.element} {request.edge}-edge XANES of a structure",
        input=StructureInput(descriptor=recipe.descriptor.to_dict()),
        output=SpectrumOutput(
            energy_ev=tuple(labels.energy.tolist()), unit="as the training spectra"
        ),
        members=trained.members,
        training=training_record(
            request, recipe.seed, trained.settings, labels, trained.duration_s
        ),
        quality=trained.quality,
        calibration=trained.calibration,
        files={name: sha256_of(folder / name) for name in _files(trained)},
    )
