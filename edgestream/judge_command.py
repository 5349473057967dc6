"""``edgestream models judge``: may a new version take the champion's place?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgestream.options import AsJson, Models, Quiet
from xas.errors import Reject

if TYPE_CHECKING:
    from edgestream.progress import Progress
    from model_store.store import Store
    from trainer.judging import Judged

REFUSED = 1


def models_judge(
    candidate: Annotated[str, typer.Argument(help="NAME@VERSION, or NAME@ALIAS.")],
    labels: Annotated[Path, typer.Option(help="Labels (npz); those of groups that neither knows.")],
    report: Annotated[Path, typer.Option(help="Folder for judgement.json and judgement.html.")],
    against: Annotated[
        str | None, typer.Option(help="NAME@VERSION. Default: the champion of NAME.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option("--trained-on", help="What either was trained on (npz); may be repeated."),
    ] = None,
    out_of_fold: Annotated[
        bool,
        typer.Option(
            "--out-of-fold",
            help="Also on labels that they learned, by what the folds of their trainings said.",
        ),
    ] = False,
    newest: Annotated[int, typer.Option(min=0, help="So many labels at the end came last.")] = 0,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make it champion, if the verdict allows.")
    ] = False,
    who: Annotated[
        str | None, typer.Option("--who", help="Kept in the history. Default: you@this-machine.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2022,
    models: Models = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Judge a candidate against the champion on labels that neither was trained on.

    edgestream models judge fe-k@2 --labels new.npz --trained-on old.npz --report verdict/

    edgestream models judge fe-k@2 --labels new.npz --trained-on old.npz --report verdict/ --promote

    It may be promoted if its errors are smaller beyond the bootstrap's confidence, its error bars
    hold what they say, and it is worse on no subgroup: elements beside the absorber, number of
    neighbours, charge, distance from the training data. The report says all of it, with figures.

    Which labels were trained on is known by the SHA-256 in both manifests: each of these files must
    be given, as --labels or --trained-on. Their groups (formulas, materials) are left out.
    --out-of-fold takes them in: a training keeps what the networks of its cross-validation said of
    the groups that they had not seen. That compares two trainings, not quite the two models.

    edgestream models judge fe-k@2 --labels all.npz --out-of-fold --report verdict/

    Exit codes: 0 promote, 1 refuse, 2 bad input (also: somebody else moved the champion meanwhile).
    """
    from edgestream.judge_tables import print_judged
    from edgestream.model_commands import operator
    from edgestream.models import open_store
    from edgestream.progress import show_progress
    from edgestream.tables import print_json
    from trainer.verdict import Rules

    store = open_store(models)
    with show_progress("judging", quiet=quiet) as progress:
        judged = _judge(
            store,
            candidate,
            against,
            (labels, trained_on or []),
            report,
            progress,
            newest=newest,
            out_of_fold=out_of_fold,
            rules=Rules(seed=seed),
        )
    moved = judged.promote(store, who or operator()) if promote else ""
    if as_json:
        print_json(judged.judgement)
    else:
        print_judged(judged.judgement, report, moved)
    if not judged.judgement.verdict.promote:
        raise SystemExit(REFUSED)


def _judge(
    store: Store,
    candidate: str,
    against: str | None,
    files: tuple[Path, list[Path]],
    report: Path,
    progress: Progress,
    **choices: Any,
) -> Judged:
    from trainer.judging import judge_bundles

    name, _, which = candidate.partition("@")
    if not which:
        raise Reject(f"{candidate}: which version of it? e.g. {candidate}@2")
    steps = ["reading labels", "predicting", "comparing", "drawing the report"]
    return judge_bundles(
        store.get(against or name),
        store.get(candidate),
        *files,
        report,
        **choices,
        tell=lambda step: progress.update(step, len(steps), steps[min(step, len(steps) - 1)]),
    )
