"""``edgestream models import``: models of other programs into the store."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.options import AsJson, Models

if TYPE_CHECKING:
    from trainer.importers.imported import Imported

import_app = typer.Typer(
    help="Turn a model of another program into a bundle, in the store as the next version.",
    rich_markup_mode="markdown",
)

Card = Annotated[
    Path, typer.Option("--manifest", help="JSON: name, element, edge, descriptor, energies, unit.")
]


@import_app.command()
def xanesnet(
    path: Annotated[Path, typer.Argument(help="Folder with metadata.yaml and the weights.")],
    element: Annotated[str, typer.Option(help="The absorber, e.g. Fe.")],
    edge: Annotated[str, typer.Option(help="Its absorption edge.")] = "K",
    name: Annotated[str, typer.Option(help="Name of the model. Default: the folder's.")] = "",
    energy: Annotated[
        str | None,
        typer.Option(help="MIN:MAX:N or a file, eV. Default: from gaussian_basis.pt."),
    ] = None,
    dialect: Annotated[
        str, typer.Option(help="Which XANESNET: newcastle, redux or conexs.")
    ] = "newcastle",
    spin: Annotated[float | None, typer.Option(help="S, where the model takes it.")] = None,
    charge: Annotated[float | None, typer.Option(help="q, where the model takes it.")] = None,
    unit: Annotated[
        str, typer.Option(help="Of the spectra it was trained on.")
    ] = "as the training spectra",
    summary: Annotated[str, typer.Option(help="One line for the list of models.")] = "",
    source: Annotated[str, typer.Option(help="Where it was published.")] = "",
    licence: Annotated[str, typer.Option(help="Of the model.")] = "",
    citation: Annotated[str, typer.Option(help="What to cite.")] = "",
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """A model that XANESNET saved: a single one, an ensemble or a bootstrap.

    edgestream models import xanesnet models/mlp_std_xyz_001 --element Fe --name fe-mlp

    metadata.yaml does not hold the energies; without gaussian_basis.pt add --energy 7097:7172:226

    Needs the extra: pip install 'edgestream[train]'. Nothing in the folder is run.
    """
    from trainer.importers.xanesnet import Request, import_xanesnet

    request = Request(
        element=element,
        name=name,
        edge=edge,
        energy=energy,
        dialect=dialect,
        spin=spin,
        charge=charge,
        unit=unit,
        summary=summary,
        source=source,
        licence=licence,
        citation=citation,
        command=_command(),
    )
    _put(import_xanesnet(path, request), models, as_json=as_json)


@import_app.command("onnx")
def bare_onnx(
    model: Annotated[Path, typer.Argument(help="ONNX file: features (n, n_features) -> spectrum.")],
    manifest: Card,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """An ONNX file, described by a manifest that you write (docs/importing.md).

    edgestream models import onnx model.onnx --manifest manifest.json

    Needs the extra: pip install 'edgestream[train]'.
    """
    from trainer.importers.bare_onnx import import_onnx

    _put(import_onnx(model, manifest, _command()), models, as_json=as_json)


@import_app.command("sklearn")
def sklearn_pipeline(
    model: Annotated[Path, typer.Argument(help="Fitted pipeline, .joblib or .pkl.")],
    manifest: Card,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open it, although a pickle can run anything.")
    ] = False,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """A scikit-learn pipeline from features to spectra, described by a manifest that you write.

    edgestream models import sklearn model.joblib --manifest manifest.json --trust

    Its file is a pickle, and opening one runs whatever its maker put into it: --trust says that you
    made it, or trust who did. Needs the extra: pip install 'edgestream[sklearn]'.
    """
    from trainer.importers.sklearn_pipeline import import_sklearn

    found = import_sklearn(model, manifest, trust=trust, command=_command())
    _put(found, models, as_json=as_json)


def _command() -> str:
    """What was typed, without where this machine keeps its files: a bundle travels."""
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return shlex.join(["edgestream", *words])


def _put(imported: Imported, models: str | None, *, as_json: bool) -> None:
    from edgestream.model_tables import print_model
    from edgestream.models import open_store
    from edgestream.store_tables import say_put
    from edgestream.tables import print_json
    from trainer.importers.imported import put_imported

    store = open_store(models)
    bundle = put_imported(imported, store)
    if as_json:
        print_json(bundle.manifest)
    else:
        print_model(bundle.manifest)
        name = bundle.manifest.name
        say_put(name, bundle.manifest.version, store.resolve(name).version)
