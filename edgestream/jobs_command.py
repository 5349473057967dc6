"""``edgestream jobs``: trainings and calculations that wait, run and have ended."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgestream.options import AsJson, Models, Url, server_url
from edgestream.passwords import complete_url, url_of_option

if TYPE_CHECKING:
    from stream.jobs import Jobs, JobState

jobs_app = typer.Typer(
    help="Jobs: trainings and calculations that wait, run and have ended.\n\n"
    "edgestream jobs list\n\n"
    "edgestream jobs show train-fe-k-5d41402abc4b\n\n"
    "edgestream jobs train fe-k --labels labels/       ask for one by hand\n\n"
    "edgestream jobs cancel train-fe-k-5d41402abc4b\n\n"
    "edgestream jobs cancel label-9f86d081884c7d65     a calculation of edgestream labeller",
)

JobsUrl = Annotated[
    str | None,
    typer.Option(
        "--jobs-url",
        callback=url_of_option,
        help="Server of the jobs. Default: $EDGESTREAM_JOBS_URL, else the server.",
    ),
]
JobId = Annotated[str, typer.Argument(help="Id of a job.")]


@jobs_app.command("list")
def jobs_list(
    most: Annotated[
        int, typer.Option(min=1, help="Of those that are done, failed or cancelled, so many each.")
    ] = 100,
    redis_url: Url = None,
    jobs_url: JobsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Jobs of the last 30 days, the newest first, with how far they are."""
    from edgestream.tables import print_json, print_table
    from stream.jobs import every_job

    found = every_job(jobs_address(redis_url, jobs_url), most)
    if as_json:
        print_json([_told(job) for job in found])
        return
    columns = ["job", "kind", "state", "asked", "progress", "time left", "outcome"]
    print_table(columns, [_row(job) for job in found], title=f"{len(found)} jobs")


@jobs_app.command("show")
def jobs_show(
    job: JobId, redis_url: Url = None, jobs_url: JobsUrl = None, as_json: AsJson = False
) -> None:
    """One job: what was asked, how far it is (epoch, loss, time left), what came of it.

    Of a calculation: the attempt, its folder, and for how many seconds it has been at it.
    """
    from edgestream.dlq_command import print_facts
    from edgestream.tables import print_json

    found = open_jobs(redis_url, jobs_url).find(job)
    if as_json:
        print_json(_told(found))
        return
    facts: dict[str, Any] = {"id": found.id, "kind": _kind(found), "state": found.state}
    facts |= {"asked": _ago(found.t_asked)}
    facts |= {"attempt": found.attempt} if found.attempt else {}
    facts |= {**found.arguments, **found.progress, **(found.result or {})}
    print_facts({**facts, "error": found.error} if found.error else facts)


@jobs_app.command("cancel")
def jobs_cancel(
    job: JobId, redis_url: Url = None, jobs_url: JobsUrl = None, as_json: AsJson = False
) -> None:
    """Cancel a job that waits or runs; what it has done so far stays in its folder."""
    from edgestream.tables import print_json

    was = open_jobs(redis_url, jobs_url).cancel(job)
    if as_json:
        print_json({"job": job, "was": was, "cancelled": was in ("waiting", "running")})
    elif was in ("waiting", "running"):
        typer.echo(f"{job}: cancelled, was {was}")
    else:
        typer.echo(f"{job}: has ended ({was}): nothing to cancel")


@jobs_app.command("train")
def jobs_train(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    labels: Annotated[Path, typer.Option(help="Folder of the archive, as the trainer has it.")],
    theory: Annotated[str | None, typer.Option(help="Only labels of this theory.")] = None,
    preset: Annotated[str, typer.Option(help="default, fast, or xanesnet-2022.")] = "default",
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small model, to try it.")] = False,
    models: Models = None,
    redis_url: Url = None,
    jobs_url: JobsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a training by hand, on all labels that are there now; a trainer must run.

    Exit codes: 0 asked for, or already waiting or running.
    """
    from edgestream.models import open_store
    from edgestream.tables import print_json
    from trainer.label_archive import LabelArchive
    from trainer.learnable import take_snapshot
    from trainer.orders import order_arguments, order_of
    from trainer.training_task import TRAINING

    taken = take_snapshot(LabelArchive(labels), open_store(models), name, theory)
    changes = changes_of(seed=seed, quick=quick)
    order = order_of(name, taken, preset, changes, "by hand")
    new = open_jobs(redis_url, jobs_url).enqueue(TRAINING, order.id, **order_arguments(order))
    if as_json:
        print_json({"job": order.id, "new": new, "labels": taken.n_labels})
    else:
        state = "asked for" if new else "waits or runs already"
        typer.echo(f"{order.id}: {state}, {taken.n_labels} labels")


def changes_of(*, seed: int | None, quick: bool) -> dict[str, int | bool]:
    """Settings of a training that are not as the preset has them."""
    return ({} if seed is None else {"seed": seed}) | ({"quick": True} if quick else {})


def jobs_address(redis_url: str | None, jobs_url: str | None) -> str:
    """Where the jobs are; the server of the frames where nothing else was said."""
    named = os.environ.get("EDGESTREAM_JOBS_URL")
    return jobs_url or (complete_url(named) if named else server_url(redis_url))


def open_jobs(redis_url: str | None, jobs_url: str | None) -> Jobs:
    """The queue."""
    from stream.jobs import Jobs

    return Jobs(jobs_address(redis_url, jobs_url))


def _row(job: JobState) -> list[str]:
    left = job.progress.get("left_s")
    is_on = job.state == "running"
    return [
        job.id,
        _kind(job),
        job.state,
        _ago(job.t_asked),
        _progress(job) if is_on else "",
        f"{left:.0f} s" if left is not None and is_on else "",
        _outcome(job.result) or job.error,
    ]


def _told(job: JobState) -> dict[str, Any]:
    return {**asdict(job), "kind": _kind(job), "attempt": job.attempt}


def _kind(job: JobState) -> str:
    return {"train": "training", "label": "calculation"}.get(job.task, job.task)


def _progress(job: JobState) -> str:
    done, again = job.progress, f"attempt {job.attempt}" if (job.attempt or 1) > 1 else ""
    epochs = f"{done['stage']} {done['epochs']}/{done['of_epochs']}" if "epochs" in done else ""
    loss = f"loss {done['loss']:.4g}" if done.get("loss") is not None else ""
    seconds = f"for {done['seconds']} s" if "seconds" in done else ""
    return " ".join(words for words in (again, epochs, loss, seconds) if words)


def _outcome(result: Any) -> str:
    if not isinstance(result, dict):
        return ""
    if "label" in result:
        return f"label {result['label'][:12]}"
    why = (result.get("why") or [""])[0]
    return f"{result.get('candidate', '')} {result.get('ending', '')}: {why}".strip()


def _ago(moment: float | None) -> str:
    if moment is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
