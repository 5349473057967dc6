"""``edgestream dlq``: frames that have no spectrum, why, and another try."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgestream.options import AsJson, Set, Url, server_url, settings_of
from xas.errors import Reject

if TYPE_CHECKING:
    from edgestream.dead_frames import Choice, Found
    from stream.redis_broker import RedisBroker

dlq_app = typer.Typer(
    help="Dead letters: frames that have no spectrum, why, and another try.\n\n"
    "A frame becomes a dead letter when a check refuses it (not finite, no absorber, unknown "
    "model: one attempt), or when it fails alone, twice. Its row in the result file has status 2; "
    "the frame itself lies beside the file, in RUN.dead. Mend the cause, requeue it, and the "
    "finished file gets its row (that of a growing run, when it is finished). A requeue gives back "
    "the same frame: it helps where model or worker was at fault. A frame that is broken itself "
    "fails again: mend it at its source and push it to a new run, or drop the letter.\n\n"
    "edgestream dlq list --out results/\n\n"
    "edgestream dlq show --run md-300K --index 17 --save bad.extxyz\n\n"
    "edgestream dlq requeue --run md-300K --reason UnknownModel --model fe-k@2\n\n"
    "edgestream dlq drop --run md-300K --index 17",
)

RunOption = Annotated[str | None, typer.Option("--run", help="Only of this run.")]
Index = Annotated[
    str | None, typer.Option("--index", help="Only this frame, or frames FIRST:END of a run.")
]
Reason = Annotated[
    str, typer.Option("--reason", help="Only with these words in the reason or error class.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the result files. Default: those of the server's runs on this machine."
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Of all runs, whatever the reason.")]


@dlq_app.command("list")
def dlq_list(
    run: RunOption = None,
    index: Index = None,
    reason: Reason = "",
    out: Out = None,
    redis_url: Url = None,
    as_json: AsJson = False,
    set_: Set = None,
) -> None:
    """Dead letters, a line each: those on disk, and those that a server still holds.

    With --out alone no server is asked. Without the folder (on another machine than the writer)
    the last few are listed, and how many there are. strangers@0: entries that belong to no run.
    """
    from edgestream.dead_frames import find
    from edgestream.tables import print_json

    choice = choice_of(run, index, reason)
    broker = broker_of(out, redis_url, set_)
    found = find(broker, out, choice)
    counts = {s.run: s.dead for s in broker.runs() if s.dead} if broker is not None else {}
    if broker is not None:
        broker.close()
    if as_json:
        print_json({"letters": [f.facts() for f in found], "counts": counts})
    else:
        print_letters(found, {r: n for r, n in counts.items() if run in (None, r)})


@dlq_app.command("show")
def dlq_show(
    run: Annotated[str, typer.Option("--run", help="Name of the run.")],
    index: Annotated[str, typer.Option("--index", help="The frame.")],
    out: Out = None,
    redis_url: Url = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the frame here, as extended XYZ.")
    ] = None,
    as_json: AsJson = False,
    set_: Set = None,
) -> None:
    """One dead letter: why, how often, where, and what is in its frame."""
    from edgestream.dead_frames import ELSEWHERE, find, save_frames, structure_facts
    from edgestream.tables import print_json

    broker = broker_of(out, redis_url, set_)
    found = find(broker, out, choice_of(run, index, ""))
    if broker is not None:
        broker.close()
    letter = the_one(found, run, index)
    facts = letter.facts()
    if letter.where != ELSEWHERE:
        facts["structure"] = structure_facts(letter.kept.original())
    if save is not None:
        if letter.where == ELSEWHERE:
            raise Reject("--save: the frame lies on the writer's disk: save it there")
        save_frames(letter.kept.original(), save)
        facts["saved"] = save
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@dlq_app.command("requeue")
def dlq_requeue(
    run: RunOption = None,
    index: Index = None,
    reason: Reason = "",
    everything: Everything = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Ask this model instead: NAME@VERSION.")
    ] = None,
    out: Out = None,
    redis_url: Url = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds to wait where the server is full.")
    ] = 60.0,
    as_json: AsJson = False,
    set_: Set = None,
) -> None:
    """Give frames back to the workers; a spectrum lands in the finished file, exactly once.

    Does not wait for it: a frame that fails again is in the list again, with its attempts added.
    The service must be running (edgestream serve --out FOLDER), with the folder of the files.
    """
    from edgestream.dead_frames import find, requeue
    from edgestream.tables import print_json
    from stream.redis_broker import RedisBroker

    require_choice(run, index, reason, everything)
    broker = RedisBroker(server_url(redis_url), settings_of(set_))
    found = find(broker, out, choice_of(run, index, reason))
    n = requeue(broker, require_any(found), model=model, timeout_s=timeout_s)
    broker.close()
    if as_json:
        print_json({"requeued": n})
    else:
        typer.echo(f"{n} dead letters requeued; what fails again is in: edgestream dlq list")


@dlq_app.command("drop")
def dlq_drop(
    run: RunOption = None,
    index: Index = None,
    reason: Reason = "",
    everything: Everything = False,
    out: Out = None,
    redis_url: Url = None,
    as_json: AsJson = False,
    set_: Set = None,
) -> None:
    """Forget dead letters: they are listed no more and cannot be requeued. Their rows stay dead."""
    from edgestream.dead_frames import drop, find
    from edgestream.tables import print_json

    require_choice(run, index, reason, everything)
    broker = broker_of(out, redis_url, set_)
    n = drop(require_any(find(broker, out, choice_of(run, index, reason))))
    if broker is not None:
        broker.close()
    if as_json:
        print_json({"dropped": n})
    else:
        typer.echo(f"{n} dead letters dropped")


def choice_of(run: str | None, index: str | None, reason: str) -> Choice:
    """What the options choose; Reject for an index that is none."""
    from edgestream.dead_frames import Choice

    first, end = None, None
    if index is not None:
        match = re.fullmatch(r"(-?\d+)|(\d*):(\d*)", index)
        if match is None:
            raise Reject(f"--index {index!r}: a frame, or FIRST:END")
        if match[1]:
            first, end = int(match[1]), int(match[1]) + 1
        else:
            first, end = (int(word) if word else None for word in match.groups()[1:])
    return Choice(run=run, first=first, end=end, reason=reason)


def broker_of(
    out: Path | None, redis_url: str | None, set_: list[str] | None
) -> RedisBroker | None:
    """The server; None where a folder is named and no server. Reject for a folder that is none."""
    from stream.redis_broker import RedisBroker

    if out is not None and not out.is_dir():
        raise Reject(f"--out {out}: no such folder")
    if out is not None and redis_url is None:
        return None
    return RedisBroker(server_url(redis_url), settings_of(set_))


def require_choice(run: str | None, index: str | None, reason: str, everything: bool) -> None:
    """Reject what would change all dead letters by accident."""
    if not (run or reason or everything):
        raise Reject("say which: --run, --reason, or --all")
    if index is not None and run is None:
        raise Reject("--index counts the frames of one run: name it with --run")


def require_any(found: list[Found]) -> list[Found]:
    """The letters; Reject where there are none."""
    if not found:
        raise Reject("no such dead letters: edgestream dlq list")
    return found


def the_one(found: list[Found], run: str, index: str) -> Found:
    """The only letter; Reject where there is none, or several."""
    if len(found) != 1:
        raise Reject(f"run {run!r} has {len(found)} dead letters at {index}: edgestream dlq list")
    return found[0]


def print_letters(found: list[Found], counts: dict[str, int]) -> None:
    """A table, and how many there are where not all are in it."""
    from edgestream.tables import print_table

    rows = [_row(f.facts()) for f in found]
    print_table(["run", "frame", "attempts", "error", "failed", "where", "reason"], rows)
    for run, n in counts.items():
        typer.echo(f"run {run!r}: {n} frames without a spectrum")


def _row(facts: dict[str, Any]) -> list[str]:
    n = facts["frames"]
    frame = f"{facts['frame']}" + (f"..{facts['frame'] + n - 1}" if n > 1 else "")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(facts["failed_at"]))
    reason = facts["reason"] if len(facts["reason"]) < 80 else facts["reason"][:77] + "..."
    return [
        facts["run"] or "-",
        frame,
        str(facts["attempts"]),
        facts["error"],
        when,
        facts["where"],
        reason,
    ]


def print_facts(facts: dict[str, Any]) -> None:
    """One fact a line."""
    for name, value in facts.items():
        if isinstance(value, dict):
            print_facts({f"{name} {k}": v for k, v in value.items()})
        else:
            typer.echo(f"{name:24} {'-' if value in (None, '') else value}")
