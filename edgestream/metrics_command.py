"""``edgestream metrics``: what is measured."""

from __future__ import annotations

from typing import Annotated

import typer

from edgestream.options import AsJson


def metrics(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of docs/metrics.md.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what processes with --metrics-port tell Prometheus, a sentence each."""
    from edgestream.tables import print_json
    from stream.telemetry import METRICS
    from stream.telemetry import markdown as as_markdown

    if as_json:
        print_json(METRICS)
    elif markdown:
        typer.echo(as_markdown())
    else:
        for row in METRICS:
            labels = f"{{{', '.join(row.labels)}}}" if row.labels else ""
            typer.echo(f"{row.name}{labels}  ({row.kind}, {row.by})\n    {row.about}")
