"""``edgestream bench``: its options."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.options import AsJson, Model, Models, Quiet, Workers
from xas.errors import Reject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgestream.bench.targets import Target


def bench(
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            help="start, kernel, neighbours, predict, reading, pipeline, latency, fairness, "
            "scaling, growth. Default: all.",
            show_default=False,
        ),
    ] = None,
    model: Model = "fe-k",
    workers: Workers = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of one run of the pipeline.")] = 20_000,
    repeat: Annotated[
        int, typer.Option(min=1, help="Runs of the pipeline; rounds of fairness.")
    ] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="A rough look: little of everything.")
    ] = False,
    long: Annotated[
        bool,
        typer.Option("--long", help="Growth and fairness with a million frames (minutes more)."),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="One more pipeline run under py-spy: where time goes."),
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where result files are written. Default: a temporary one.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGESTREAM_DATA",
            help="Folder of real data. Default: shared/data beside the checkout; else demo data.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="End with 1 where a target is missed, a line each.")
    ] = False,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Ask for another limit, e.g. pipeline_cpu_ratio=1.5 (repeatable)."),
    ] = None,
    models: Models = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure how fast it is here, with real parts and real processes: minutes for all.

    edgestream bench kernel predict

    edgestream bench pipeline --profile

    CPU times are user and system time; each figure is a median with its least and greatest sample.
    On a busy machine look at ratios.
    """
    from edgestream.bench.machine import machine_facts
    from edgestream.bench.report import all_figures, as_object, print_report
    from edgestream.bench.request import Request
    from edgestream.bench.sections import measure
    from edgestream.bench.targets import missed
    from edgestream.progress import show_progress
    from edgestream.tables import print_json

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves nothing behind either
    asked = asked_for(target or [])
    request = Request(
        data=data_folder(data),
        model=model,
        models=models,
        workers=workers,
        frames=frames,
        repeat=repeat,
        folder=writable(folder or Path(tempfile.gettempdir())),
        profile=profile,
    )
    request = request.quick() if quick else request.long() if long else request
    machine = machine_facts()
    with show_progress("bench", quiet=quiet) as progress:
        measured = measure(sections or [], request, progress)
    misses = missed(all_figures(measured), asked)
    if as_json:
        print_json(as_object(measured, machine, misses))
    else:
        print_report(measured, machine, asked)
    if check and misses:
        sys.stderr.writelines(f"{line}\n" for line in misses)
        raise SystemExit(1)


def writable(folder: Path) -> Path:
    """The folder; Reject, before anything is measured, where nothing can be written into it."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Reject(f"--folder {folder}: no folder that can be written")
    return folder


def data_folder(asked: Path | None) -> Path | None:
    """The folder of the project's real data, where it is here; Reject for one that is not it."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = asked or beside
    if (folder / "README.md").is_file():
        return folder
    if asked is not None:
        raise Reject(f"--data {asked}: not the folder of edgestream's data (no README.md in it)")
    return None


def asked_for(words: list[str]) -> Mapping[str, Target]:
    """The project's targets with those of ``--target``; Reject for what is none."""
    from edgestream.bench.targets import TARGETS

    changed = {}
    for word in words:
        key, _, limit = word.partition("=")
        try:
            changed[key] = replace(TARGETS[key], limit=float(limit))
        except (KeyError, ValueError):
            known = ", ".join(TARGETS)
            raise Reject(f"--target {word!r}: takes NAME=NUMBER with a name of {known}") from None
    return {**TARGETS, **changed}
