"""``edgestream labeller`` and ``edgestream ask``: labels asked for, and calculated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.jobs_command import JobsUrl, jobs_address
from edgestream.options import AsJson, Models, Set, Url, server_url, settings_of
from xas.errors import Reject

if TYPE_CHECKING:
    from trainer.label_request import LabelRequest


def labeller(
    command: Annotated[
        list[str], typer.Argument(help="The theory code: words behind --, run without a shell.")
    ],
    labels: Annotated[Path, typer.Option(help="Folder of the archive, as the trainer has it.")],
    program: Annotated[str, typer.Option(help="Whose input is written: feff, fdmnes.")] = "fdmnes",
    theory: Annotated[str, typer.Option(help="Level of theory. Default: of the output.")] = "",
    radius: Annotated[float, typer.Option(min=1.0, help="Of the cluster, angstrom.")] = 6.0,
    energy_offset: Annotated[float, typer.Option(help="Added to all energies, eV.")] = 0.0,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1.0, help="Seconds for one calculation.")
    ] = 21600.0,
    at_once: Annotated[int, typer.Option(min=1, help="Calculations at a time.")] = 1,
    redis_url: Url = None,
    jobs_url: JobsUrl = None,
) -> None:
    """Answer requests for labels: write the input, run the command there, push its spectrum.

    edgestream labeller --labels labels/ --program feff -- /opt/feff10/run-feff

    edgestream labeller --labels labels/ --program fdmnes --timeout 7200 -- fdmnes

    Requests come from edgestream ask. Each is a job (edgestream jobs list), tried three times, in
    LABELS/requests/ID/1, 2, ...; what was calculated stays there. Ends with SIGTERM or Ctrl-C;
    requests that wait stay.
    """
    from edgestream.labelling_process import run_labeller
    from stream.sources.theory_input import PROGRAMS
    from trainer.labelling_task import TheorySettings, as_command

    if program not in PROGRAMS:
        raise Reject(f"no program {program!r}; there are {', '.join(PROGRAMS)}")
    settings = TheorySettings(
        command=as_command(command),
        program=program,
        theory=theory,
        radius_angstrom=radius,
        energy_offset_ev=energy_offset,
        timeout_s=timeout_s,
    )
    run_labeller(
        server_url(redis_url), jobs_address(redis_url, jobs_url), labels, settings, at_once
    )


def ask(
    file: Annotated[
        Path | None,
        typer.Argument(help="Frames: a trajectory, as push takes it, or a result file."),
    ] = None,
    *,
    name: Annotated[str, typer.Option("--model", help="Name of the model that asks.")],
    labels: Annotated[Path, typer.Option(help="Folder of the archive, as the trainer has it.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Ask while frames stream, until stopped.")
    ] = False,
    per_hour: Annotated[int, typer.Option(min=1, help="At most so many requests.")] = 100,
    novelty: Annotated[float, typer.Option(help="Ask from this novelty on.")] = 1.0,
    uncertainty: Annotated[
        float, typer.Option(help="Or from this error bar on, as a part of the spectrum.")
    ] = 0.05,
    theory: Annotated[str | None, typer.Option(help="Only labels of this theory.")] = None,
    models: Models = None,
    redis_url: Url = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Ask for labels of the frames that the champion knows least; edgestream labeller answers.

    edgestream ask md.extxyz --model fe-k --labels labels/ --per-hour 20

    edgestream ask --follow --model fe-k --labels labels/         a service: all runs of that model

    Best first; none that is near a label, near a request that was made before, or near another.
    With --follow it reads the result files of all runs as they grow, where the writer keeps them,
    and spreads the requests over the hour: each is the best of all that was seen until then.
    """
    from trainer.requests import RequestRules

    rules = RequestRules(novelty=novelty, uncertainty=uncertainty, per_hour=per_hour)
    if follow == (file is not None):
        raise Reject("name a file to ask about, or --follow to ask about all runs as they stream")
    if file is not None:
        from edgestream.label_asking import ask_of_file

        show_requests(ask_of_file(file, name, labels, rules, theory=theory, models=models), as_json)
        return
    from edgestream.asking_process import run_asker

    run_asker(
        server_url(redis_url),
        labels,
        name,
        rules,
        theory=theory,
        models=models,
        settings=settings_of(set_),
    )


def show_requests(made: list[LabelRequest], as_json: bool) -> None:
    """What was asked for."""
    from edgestream.tables import print_json, print_table

    if as_json:
        columns = ("id", "name", "novelty", "uncertainty")
        print_json([{key: getattr(r, key) for key in columns} for r in made])
        return
    body = [[r.id, r.name, f"{r.novelty:.2f}", f"{r.uncertainty:.1%}"] for r in made]
    title = f"{len(made)} labels asked for"
    print_table(["request", "frame", "novelty", "uncertainty"], body, title=title)
