"""``edgestream train``: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.options import AsJson, Models


def train(
    name: Annotated[str, typer.Argument(help="Name of the model, e.g. fe-k.")],
    data: Annotated[Path, typer.Option(help="Labels: numbers, positions, offsets, mu, energy.")],
    preset: Annotated[
        str, typer.Option(help="default, fast, materials, or xanesnet-2022.")
    ] = "default",
    edge: Annotated[str, typer.Option(help="Absorption edge of the labels.")] = "K",
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble.")] = None,
    folds: Annotated[int | None, typer.Option(help="Folds of the cross-validation.")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="How often the cross-validation is done anew.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    threads: Annotated[int | None, typer.Option(help="Networks fitted at a time.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small model, to try things out.")
    ] = False,
    start_from: Annotated[
        str | None,
        typer.Option(help="A model that few labels of another theory correct, e.g. fe-k."),
    ] = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Fit an ensemble, evaluate it honestly, export it to ONNX and put it into the store.

    The quality is that of spectra whose chemical formula was not in the training. Needs the extra:
    pip install 'edgestream[train]'.

    edgestream train my-fe-k --data labels.npz --quick

    edgestream train fe-k-feff --data fe_k_feff10.npz --start-from fe-k     another theory
    """
    from edgestream.model_tables import print_model
    from edgestream.models import open_store
    from edgestream.progress import show_progress
    from edgestream.store_tables import say_put
    from edgestream.tables import print_json
    from trainer.train import train as train_model

    store = open_store(models)
    with show_progress(f"training {name}") as progress:
        bundle = train_model(
            name,
            data,
            store,
            preset=preset,
            edge=edge,
            members=members,
            folds=folds,
            repeats=repeats,
            epochs=epochs,
            seed=seed,
            threads=threads,
            quick=quick,
            start_from=store.get(start_from) if start_from else None,
            progress=lambda at: progress.update(
                at.done, at.total, f"{at.stage}, loss {at.loss:.4f}, {at.left_s:.0f} s left"
            ),
        )
    if as_json:
        print_json(bundle.manifest)
    else:
        print_model(bundle.manifest)
        say_put(name, bundle.manifest.version, store.resolve(name).version)
        typer.echo(f"in {bundle.folder}")
