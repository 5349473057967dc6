"""``edgestream explain``: what a model looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.options import AsJson, Models, Plot, Quiet, require_picture
from xas.errors import Reject


def explain(
    model: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a bundle folder.")],
    data: Annotated[Path, typer.Option(help="Labels (npz) to try it on.")],
    sample: Annotated[int, typer.Option(min=2, help="So many of them, drawn.")] = 200,
    window: Annotated[
        list[str] | None,
        typer.Option(
            help="Energies, e.g. 7110:7125; may be repeated. Default: two, about the edge."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Times each feature is dealt anew.")] = 2,
    choose: Annotated[
        int, typer.Option(min=0, help="Also choose so many features that suffice (slower).")
    ] = 0,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table of features.")] = 15,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 2022,
    plot: Plot = None,
    models: Models = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say which features a model needs, over the whole spectrum and over windows of it.

    edgestream explain fe-k --data labels.npz --plot importance.png

    edgestream explain fe-k --data labels.npz --window 7110:7120 --window 7120:7150 --choose 10

    A feature is important where the error rises once its values are dealt to other labels
    (permutation importance; rises in percentage points of the error). The picture has the distances
    of the neighbours beside it. --choose: variance filter, select-from-model, forward and backward
    selection, with a linear stand-in for the network. Needs the extra: edgestream[sklearn].
    """
    from edgestream.insight_tables import print_insight
    from edgestream.models import open_store
    from edgestream.progress import show_progress
    from edgestream.tables import print_json
    from trainer.archive import read_labels
    from trainer.insight import explain as explain_model

    require_picture(plot)
    windows = [_window(word) for word in window or []]
    bundle, labels = open_store(models).get(model), read_labels(data)
    with show_progress(f"explaining {bundle.reference}", quiet=quiet) as progress:
        found = explain_model(
            bundle,
            labels,
            sample=sample,
            windows=windows,
            repeats=repeats,
            choose=choose,
            seed=seed,
            tell=progress.update,
        )
    if plot is not None:
        from edgestream.insight_plots import plot_insight

        plot_insight(found, plot)
    if as_json:
        print_json(found)
    else:
        print_insight(found, top, plot)


def _window(word: str) -> tuple[float, float]:
    low, _, high = word.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        raise Reject(f"--window {word!r}: it is FROM:TO in eV, e.g. 7110:7125") from None
    if not found[0] < found[1]:
        raise Reject(f"--window {word!r}: it ends before it begins")
    return found
