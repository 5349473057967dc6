"""``edgestream trainer``: the service that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.jobs_command import JobsUrl, changes_of, jobs_address
from edgestream.options import MetricsPort, Models, Set, Url, server_url, settings_of


def trainer(
    name: Annotated[str, typer.Argument(help="Name of the model that is to keep learning.")],
    labels: Annotated[Path, typer.Option(help="Folder of the archive of labels.")],
    every_labels: Annotated[
        int | None, typer.Option(min=1, help="Train after so many new labels. Default: 200.")
    ] = None,
    every_hours: Annotated[
        float | None, typer.Option(help="Train after so many hours, if there are new labels.")
    ] = None,
    novel_labels: Annotated[
        int | None, typer.Option(min=1, help="Train after so many labels novel to the champion.")
    ] = None,
    theory: Annotated[str | None, typer.Option(help="Learn labels of this theory only.")] = None,
    preset: Annotated[str, typer.Option(help="default, fast, or xanesnet-2022.")] = "default",
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small models, to try it.")] = False,
    models: Models = None,
    redis_url: Url = None,
    jobs_url: JobsUrl = None,
    metrics_port: MetricsPort = None,
    set_: Set = None,
) -> None:
    """Archive labels as they come, train when it is due, and promote what is better.

    edgestream trainer fe-k --labels labels/ --every-labels 100

    Each training is a job (edgestream jobs list) in a process of its own; a killed one goes on with
    what it had fitted. New labels are looked at before (shuffled, other units or edges, another
    theory: refused, with the reason); a tenth of all groups is reserved to judge by; the candidate
    becomes champion only if the gate lets it pass, and the report lies in LABELS/trainings/ID.
    Workers take the new champion between two batches.

    Ends with SIGTERM or Ctrl-C; labels that wait then wait in the server.
    """
    from edgestream.training_process import run_trainer
    from trainer.extra import require_extra
    from trainer.policy import Policy

    require_extra()
    if every_labels is every_hours is novel_labels is None:
        every_labels = 200
    policy = Policy(every_labels=every_labels, every_hours=every_hours, novel_labels=novel_labels)
    run_trainer(
        server_url(redis_url),
        jobs_address(redis_url, jobs_url),
        labels,
        name=name,
        policy=policy,
        theory=theory,
        preset=preset,
        changes=changes_of(seed=seed, quick=quick),
        models=models,
        settings=settings_of(set_),
        metrics=metrics_port,
    )
