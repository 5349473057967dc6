"""``edgestream models suspect``: may these labels be learned from?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.options import AsJson, Models

NOT_ACCEPTED = 1


def models_suspect(
    model: Annotated[str, typer.Argument(help="NAME (its champion), NAME@VERSION.")],
    labels: Annotated[Path, typer.Option(help="Labels (npz) that nothing has learned from yet.")],
    known: Annotated[
        Path | None, typer.Option(help="Labels (npz) that are there already, to see repeats.")
    ] = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with labels, before anything is trained on them.

    edgestream models suspect fe-k --labels new.npz --known old.npz

    They are refused where they are of another element or edge, in another unit, moved in energy,
    shuffled, or of another theory than what the model learned: each of these differs from what it
    predicts in its own way, far beyond its error bars. Labels far from its training data are not
    refused for large errors alone: they are kept for you to look at (quarantine).

    Exit codes: 0 accept, 1 quarantine or refuse, 2 bad input.
    """
    from edgestream.judge_tables import print_suspicion
    from edgestream.models import open_store
    from edgestream.tables import print_json
    from trainer.archive import read_labels
    from trainer.suspicion import suspect

    champion = open_store(models).get(model)
    there = None if known is None else read_labels(known)
    found = suspect(read_labels(labels), champion, there)
    if as_json:
        print_json(found)
    else:
        print_suspicion(found, labels.name)
    if found.decision != "accept":
        raise SystemExit(NOT_ACCEPTED)
