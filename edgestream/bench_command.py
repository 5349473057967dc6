"""``edgestream bench``: its options."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from edgestream.options import AsJson, Model, Workers


def bench(
    section: Annotated[str, typer.Argument(help="pipeline")] = "pipeline",
    model: Model = "fe-k",
    frames: Annotated[int, typer.Option(min=1, help="Frames of one pipeline run.")] = 20_000,
    workers: Workers = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of the pipeline.")] = 3,
    folder: Annotated[
        Path | None, typer.Option(help="Where result files are written. Default: temporary.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show the functions where the time goes (py-spy).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how fast it is here, with real processes, as ratios in one run."""
    from edgestream.bench.pipeline import measure_pipeline
    from edgestream.bench.report import print_pipeline
    from edgestream.bench.structures import movie
    from edgestream.tables import print_json

    del section
    report = measure_pipeline(
        movie(),
        model=model,
        frames=frames,
        workers=workers,
        repeat=repeat,
        profile=profile,
        folder=folder or Path(tempfile.gettempdir()),
    )
    if as_json:
        print_json(report)
    else:
        print_pipeline(report)
