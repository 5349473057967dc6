"""``edgestream dashboard``: the live page of a service and of a folder of result files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.dashboard.page_options import PORT, PageOptions
from edgestream.jobs_command import JobsUrl
from edgestream.options import MetricsPort, Models, Set, Url, server_url, settings_of
from edgestream.passwords import jobs_server

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--operator-token-file",
        envvar="EDGESTREAM_OPERATOR_TOKEN_FILE",
        help="File with the token that lets the page promote, roll back, requeue and drain. "
        "Default: $EDGESTREAM_OPERATOR_TOKEN_FILE; without: read-only.",
        show_envvar=False,
    ),
]

PagePort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help=f"Port of the live page. Default: {PORT}, if free."),
]
NoPage = Annotated[bool, typer.Option("--no-page", help="No live page.")]


def dashboard(
    out: Annotated[
        Path | None, typer.Option(help="Folder of result files, to look at earlier runs too.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of the archive of labels, to see which ones are asked for."),
    ] = None,
    redis_url: Url = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Default: {PORT}; 0: any that is free.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name under which browsers reach the page."),
    ] = None,
    operator_token_file: TokenFile = None,
    models: Models = None,
    jobs_url: JobsUrl = None,
    metrics_port: MetricsPort = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    set_: Set = None,
) -> None:
    """Show runs as they arrive, and what the service does, in a browser: http://127.0.0.1:8050.

    edgestream dashboard --out results/                   what is in the folder, and a service here

    edgestream dashboard --redis-url redis://host:6379    a service elsewhere

    It needs no login and shows everything to whoever reaches it: on another address than 127.0.0.1
    put it behind something that asks who they are. What changes anything needs a token:

    head -c 24 /dev/urandom | base64 > token; edgestream dashboard --operator-token-file token
    """
    from edgestream.dashboard.page_process import run_page
    from edgestream.dashboard.places import Places

    run_page(
        Places(
            url=server_url(redis_url),
            out=out,
            models=models,
            settings=settings_of(set_),
            jobs_url=jobs_url or jobs_server(),
            labels=labels,
        ),
        PageOptions(
            host=host,
            port=PORT if port is None else port,
            strict=port is not None,
            names=tuple(allow_host or ()),
            token_file=operator_token_file,
            open_browser=open_,
        ),
        follow_parent=False,
        metrics=metrics_port,
    )
