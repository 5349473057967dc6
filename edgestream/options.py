"""The words of the command line: its options, and what becomes of them.

Heavy imports are inside the functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.passwords import complete_url, url_of_option
from xas.errors import Reject

if TYPE_CHECKING:
    from edgestream.feeding import Trajectory
    from stream.messages import RunSpec
    from stream.settings import Settings

DEFAULT_URL = "redis://127.0.0.1:6379"
URL_HELP = (
    "Server, e.g. redis://host:6379, rediss://USER@host?password_file=FILE or unix:///path. "
    f"Default: $EDGESTREAM_URL, {DEFAULT_URL}. Passwords come from files."
)


def metrics_address(words: str | None) -> str | None:
    """``[HOST:]PORT`` as it was given; Reject where it is none."""
    if words is not None:
        found = re.fullmatch(r"(?:(?:[\w.-]+|\[[0-9a-fA-F:]+\]):)?(\d{1,5})", words)
        if found is None or not 0 < int(found[1]) < 2**16:
            raise Reject(f"--metrics-port {words!r}: it is PORT or HOST:PORT, e.g. 0.0.0.0:9400")
    return words


def check_device(device: str) -> str:
    """The device, where it can be one; whether it is there is known when a model is loaded."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise Reject(f"--device {device!r}: it is cpu, cuda or cuda:N")
    return device


Url = Annotated[str | None, typer.Option("--redis-url", callback=url_of_option, help=URL_HELP)]
OwnUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url", callback=url_of_option, help="Use this server instead of one of our own."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="NAME, NAME@VERSION or a bundle folder; see: edgestream models list."
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        "--models",
        metavar="PLACE",
        help="Folder or URL (s3://...) of models. Default: $EDGESTREAM_MODELS.",
    ),
]
Device = Annotated[str, typer.Option(callback=check_device, help="cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes. Default: cores - 1.")]
Plot = Annotated[Path | None, typer.Option(help="Draw to this file (.png, .pdf, .svg).")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting of the service, e.g. lease_s=30 (a wrong name lists all).",
    ),
]
Absorber = Annotated[
    str | None,
    typer.Option(help="Element (Fe) or atom indices (0,17). Default: the model's element."),
]
Every = Annotated[int, typer.Option(min=1, help="Take every N-th frame.")]
Timestep = Annotated[
    str | None, typer.Option(help="Time between frames, e.g. 4fs or 0.5ps, if the file has none.")
]
Topology = Annotated[
    Path | None, typer.Option(help="Structure file with the elements, for DCD and XTC.")
]
Types = Annotated[str | None, typer.Option(help="Elements of LAMMPS types, e.g. 1=Fe,2=O.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on where the run stopped, with the same file and options."),
]
SpoolDir = Annotated[
    Path | None,
    typer.Option("--spool", help="Keep frames in this folder until they are in the result file."),
]
RunName = Annotated[
    str, typer.Option("--run", help="Name of the run: letters, digits, '.', '_', '-'.")
]
Title = Annotated[str, typer.Option(help="Title in the result file.")]
Sample = Annotated[str, typer.Option(help="Name of the sample in the result file.")]
NoStructures = Annotated[
    bool, typer.Option("--no-structures", help="Do not keep the structures in the result file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port",
        callback=metrics_address,
        metavar="[HOST:]PORT",
        help="Metrics for Prometheus, by default for this machine only.",
    ),
]
ServiceMetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port",
        callback=metrics_address,
        metavar="[HOST:]PORT",
        help="Metrics for Prometheus: of the service here, of the writer on the next port, of the "
        "workers on those after it.",
    ),
]


def server_url(url: str | None) -> str:
    """The server that was asked for."""
    return url or complete_url(os.environ.get("EDGESTREAM_URL") or DEFAULT_URL)


def require_picture(path: Path | None) -> None:
    """Reject a picture that could not be written, before the work that it is to show."""
    if path is not None:
        from edgestream.plots import check_picture

        check_picture(path)


def require_workers(workers: int | None, redis_url: str | None) -> None:
    """Reject a service of our own without workers: its frames would wait for ever."""
    if workers == 0 and redis_url is None:
        raise Reject("--workers 0: nobody would predict; with --redis-url, others may")


def settings_of(words: list[str] | None) -> Settings:
    """Settings with what ``--set`` changes."""
    from edgestream.settings_words import settings_from_options

    return settings_from_options(words or [])


def trajectory_of(
    path: str,
    every: int,
    timestep: str | None,
    topology: Path | None,
    types: str | None,
    absorber: str | None,
) -> Trajectory:
    """What the options say about reading."""
    from edgestream.feeding import Trajectory
    from edgestream.quantities import atom_indices, lammps_types, time_fs

    return Trajectory(
        path=path,
        every=every,
        timestep_fs=None if timestep is None else time_fs(timestep),
        topology=topology,
        types=None if types is None else lammps_types(types),
        absorbers=atom_indices(absorber),
    )


def spec_of(
    model: str, absorber: str | None, title: str, sample: str, priority: str, structures: bool
) -> RunSpec:
    """What the options say about a run."""
    from edgestream.quantities import element_or_none
    from stream.messages import RunSpec

    return RunSpec(
        model=model,
        absorber=element_or_none(absorber),
        priority=priority,
        title=title,
        sample=sample,
        keep_structures=structures,
    )
