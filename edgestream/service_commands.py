"""The commands of a service: serve, worker, writer and status.

Heavy imports are inside the commands, so that ``--help`` answers at once. One function a command
and one line an option: that is all that makes the file long.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.dashboard.page_options import PageOptions
from edgestream.dashboard_command import NoPage, PagePort, TokenFile
from edgestream.options import (
    AsJson,
    Device,
    MetricsPort,
    Models,
    OwnUrl,
    ServiceMetricsPort,
    Set,
    Url,
    Workers,
    require_workers,
    server_url,
    settings_of,
)


def serve(
    out: Annotated[Path, typer.Option(help="Folder for the result files.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the server on 127.0.0.1.")
    ] = 6379,
    workers: Workers = None,
    device: Device = "cpu",
    models: Models = None,
    redis_url: OwnUrl = None,
    redis_server: Annotated[
        str | None, typer.Option(help="Binary of the server to start instead of the bundled one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for the server's data. Default: OUT/.server.")
    ] = None,
    metrics_port: ServiceMetricsPort = None,
    page_port: PagePort = None,
    no_page: NoPage = False,
    operator_token_file: TokenFile = None,
    set_: Set = None,
) -> None:
    """Server, workers, writer and live page on this machine until stopped.

    edgestream serve --out results/

    edgestream push md.extxyz --run md-300K            from another terminal

    Ctrl-C or SIGTERM finishes what was accepted. What others still hold is kept in --data-dir.
    The port asks for a password, which edgestream finds in a file that only you can read.
    """
    from edgestream.local import ServiceOptions
    from edgestream.services import run_service

    require_workers(workers, redis_url)
    run_service(
        ServiceOptions(
            url=redis_url,
            out=out,
            workers=workers,
            device=device,
            models=models,
            server=redis_server,
            data_dir=data_dir or out / ".server",
            port=port,
            page=None if no_page else PageOptions.at(page_port, operator_token_file),
            settings=settings_of(set_),
            metrics=metrics_port,
        )
    )


def worker(
    redis_url: Url = None,
    device: Device = "cpu",
    models: Models = None,
    name: Annotated[str, typer.Option(help="Name in the status.")] = "worker",
    metrics_port: MetricsPort = None,
    set_: Set = None,
) -> None:
    """Predict frames from a server until stopped; SIGTERM finishes the batch in hand.

    As many as you like, on any host that reaches the server. A server that is away is waited for.
    """
    from edgestream.worker_process import run_worker

    run_worker(
        server_url(redis_url),
        device=device,
        models=models,
        name=name,
        metrics=metrics_port,
        settings=settings_of(set_),
        follow_parent=False,
    )


def writer(
    out: Annotated[Path, typer.Option(help="Folder for the result files.")],
    redis_url: Url = None,
    shard: Annotated[int, typer.Option(help="Which shard of the service.")] = 0,
    metrics_port: MetricsPort = None,
    set_: Set = None,
) -> None:
    """Write results from a server into files until stopped; only one writer a shard is let in.

    Nothing is acknowledged before it is on disk. Stopped or killed, the next writer of the same
    folder goes on.
    """
    from edgestream.writer_process import run_writer

    run_writer(
        server_url(redis_url),
        out,
        shard=shard,
        metrics=metrics_port,
        settings=settings_of(set_),
        follow_parent=False,
    )


def status(redis_url: Url = None, as_json: AsJson = False, set_: Set = None) -> None:
    """Runs, backlog, workers, rates and failures, in plain words; trouble first, with its remedy.

    backlog: frames accepted and not yet on disk. dead: frames without a spectrum.
    """
    from edgestream.status import look
    from edgestream.tables import print_json, print_status

    found = look(server_url(redis_url), settings_of(set_))
    if as_json:
        print_json(found)
    else:
        print_status(found)
