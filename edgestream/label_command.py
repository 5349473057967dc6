"""``edgestream label``: structures with their spectra, for the trainer to learn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.options import AsJson, Quiet, Set, Url, server_url, settings_of
from xas.errors import Reject

if TYPE_CHECKING:
    from stream.label_stream import LabelState

label_app = typer.Typer(
    help="Labels: structures with their reference spectra, for the trainer to learn.\n\n"
    "A pushed label waits in the server until it is in the archive (edgestream archive). To push "
    "one twice is harmless: its identity is the hash of its content.\n\n"
    "edgestream label push labels.npz --theory FDMNES\n\n"
    "edgestream label push calculations/*/              folders of FEFF or FDMNES\n\n"
    "edgestream label push measured.xdi --structure sample.xyz\n\n"
    "edgestream label status",
)


@label_app.command("push")
def label_push(
    files: Annotated[
        list[Path],
        typer.Argument(help="npz, folders of FEFF or FDMNES, XDI or columns, Athena projects."),
    ],
    theory: Annotated[
        str | None,
        typer.Option(help="Level of theory. Default: what the file says, or its program."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where they come from. Default: the name of the file.")
    ] = None,
    edge: Annotated[
        str | None, typer.Option(help="Absorption edge. Default: what the file says, or K.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Of each label in a training. Default: 1.")
    ] = None,
    energy_offset: Annotated[
        float, typer.Option(help="Added to all energies, eV, e.g. 7112 where they are relative.")
    ] = 0.0,
    structure: Annotated[
        Path | None, typer.Option(help="Structure file of a measured spectrum.")
    ] = None,
    absorber: Annotated[
        int | None, typer.Option(help="Index of the absorber, from 0, where it is not clear.")
    ] = None,
    spectrum: Annotated[
        str | None, typer.Option(help="Name of the spectrum in an Athena project.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look whether they are labels; needs no server.")
    ] = False,
    redis_url: Url = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds to wait where no room is left.")
    ] = 600.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    set_: Set = None,
) -> None:
    """Push labels; returns when the server has them. What is no label is named, the others go.

    Energies are absolute, in eV; structures in angstrom. Refused are energies that are not around
    the absorber's edge, spectra and structures that cannot be.

    Exit codes: 0 all pushed, 2 some are no labels, 3 no server or no room: push the same again.
    """
    from edgestream.label_pushing import push_label_files, read_structure
    from edgestream.progress import show_progress
    from edgestream.tables import print_json
    from stream.redis_label_stream import RedisLabelStream
    from stream.service import StopSignal
    from stream.sources.label_options import LabelOptions

    options = LabelOptions(
        theory=theory,
        source=source,
        edge=edge,
        weight=weight,
        energy_offset_ev=energy_offset,
        structure=None if structure is None else read_structure(structure),
        absorber=absorber,
        spectrum=spectrum,
    )
    stream = None if check else RedisLabelStream(server_url(redis_url), settings_of(set_))
    if stream is not None:
        stream.check_version()
    stop = StopSignal().listen()
    with show_progress("labels", quiet=quiet) as progress:
        pushed = push_label_files(
            files, options, stream, deadline_s=timeout_s, progress=progress, stop=stop
        )
    if as_json:
        print_json(pushed)
    else:
        typer.echo(f"{pushed.labels} labels {'are good' if check else 'pushed'}")
    if pushed.interrupted:
        raise SystemExit(130)
    if pushed.refused:
        raise Reject(f"{len(pushed.refused)} are no labels: {pushed.refused[0]['reason']}")


@label_app.command("status")
def label_status(redis_url: Url = None, as_json: AsJson = False, set_: Set = None) -> None:
    """How many labels wait, what became of the others, and who archives them.

    conflict: stored beside another spectrum of the same structure. duplicate: was there already.
    """
    from edgestream.tables import print_json

    state = _state(redis_url, set_)
    if as_json:
        print_json({**_facts(state), "notices": _notices(state)})
        return
    for name, value in _facts(state).items():
        typer.echo(f"{name.replace('_', ' '):16} {value}")
    if state.waiting and not state.archive_alive:
        typer.echo("TROUBLE          nobody archives labels: start the trainer")
    for notice in _notices(state)[:5]:
        typer.echo(f"refused          {notice['reason']}")


@label_app.command("list")
def label_list(
    redis_url: Url = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 40,
    as_json: AsJson = False,
    set_: Set = None,
) -> None:
    """The labels that wait for the archive, oldest first. Those in it: edgestream archive list."""
    from edgestream.tables import print_json, print_table
    from stream.redis_label_stream import RedisLabelStream

    stream = RedisLabelStream(server_url(redis_url), settings_of(set_))
    stream.check_version()
    found = [_waiting(w.payload, w.t_pushed) for w in stream.waiting(block_s=0, most=limit)]
    stream.close()
    if as_json:
        print_json(found)
    else:
        columns = ["label", "element", "edge", "theory", "source", "pushed"]
        print_table(columns, [[str(row[c]) for c in columns] for row in found])


def _waiting(payload: bytes, t_pushed: float) -> dict[str, str]:
    from stream.labels import read_label

    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t_pushed))
    try:
        label = read_label(payload)
    except Reject as error:
        none = dict.fromkeys(("element", "edge", "theory", "source"), "-")
        return {"label": f"no label: {error}", "sha256": "", **none, "pushed": when}
    told = {name: getattr(label, name) for name in ("element", "edge", "theory", "source")}
    return {"label": label.title, "sha256": label.sha256, **told, "pushed": when}


def _state(redis_url: str | None, set_: list[str] | None) -> LabelState:
    from stream.redis_label_stream import RedisLabelStream

    stream = RedisLabelStream(server_url(redis_url), settings_of(set_))
    stream.check_version()
    state = stream.state()
    stream.close()
    return state


def _facts(state: LabelState) -> dict[str, object]:
    return {
        "waiting": state.waiting,
        "waiting_bytes": state.waiting_bytes,
        **state.outcomes,
        "archive": (state.archive or "-") + ("" if state.archive_alive else " (not running)"),
    }


def _notices(state: LabelState) -> list[dict[str, object]]:
    import msgspec

    return [msgspec.json.decode(notice, type=dict[str, object]) for notice in state.notices]
