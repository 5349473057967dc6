"""``edgestream archive``: the labels that are kept, their snapshots, and copies of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgestream.options import AsJson
from xas.errors import BadLabels, Reject

if TYPE_CHECKING:
    from trainer.label_archive import LabelArchive
    from trainer.snapshot import Snapshot

archive_app = typer.Typer(
    help="The archive of labels: what is in it, its snapshots, and copies of them.\n\n"
    "An archive is a folder that the trainer appends to; nothing is ever changed in it. A snapshot "
    "names a set of labels and their order by a hash over their hashes. All of this reads the "
    "folder and needs no service.\n\n"
    "edgestream archive list labels/\n\n"
    "edgestream archive snapshot labels/ --theory FDMNES\n\n"
    "edgestream archive export labels/ fe-k.npz --snapshot 5d41402a\n\n"
    "edgestream archive verify labels/",
)

Folder = Annotated[Path, typer.Argument(help="Folder of the archive.")]
Element = Annotated[str | None, typer.Option(help="Only of this absorber, e.g. Fe.")]
Edge = Annotated[str | None, typer.Option(help="Only of this edge, e.g. K.")]
Theory = Annotated[str | None, typer.Option(help="Only of this level of theory.")]
SnapshotId = Annotated[
    str | None, typer.Option("--snapshot", help="Id of a snapshot, or how it begins.")
]


@archive_app.command("list")
def archive_list(folder: Folder, as_json: AsJson = False) -> None:
    """What is in an archive, by element, edge, theory and source; and its snapshots."""
    from edgestream.tables import print_json, print_table

    archive = open_archive(folder)
    kinds, taken = _kinds(archive), [_snapshot_facts(s) for s in archive.snapshots()]
    if as_json:
        conflicts = archive.conflicts()
        print_json({"labels": len(archive), "kinds": kinds, "conflicts": conflicts,
                    "snapshots": taken})  # fmt: skip
        return
    columns = ["element", "edge", "theory", "source", "labels", "conflicts", "first", "last"]
    rows = [[str(kind[column]) for column in columns] for kind in kinds]
    print_table(columns, rows, title=f"{folder}: {len(archive)} labels")
    if taken:
        columns = ["snapshot", "element", "edge", "theory", "labels"]
        print_table(columns, [[str(s[c])[:16] for c in columns] for s in taken])


@archive_app.command("show")
def archive_show(
    folder: Folder,
    what: Annotated[str, typer.Argument(help="Number of a label, or id of a snapshot.")],
    as_json: AsJson = False,
) -> None:
    """One label with its hash, origin and what contradicts it; or what a snapshot holds.

    A number of up to seven digits is that of a label, anything else the beginning of an id.
    """
    from edgestream.dlq_command import print_facts
    from edgestream.tables import print_json

    archive = open_archive(folder)
    facts = _label_facts(archive, int(what)) if _is_number(what) else _snapshot_facts(
        archive.find_snapshot(what)
    )  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@archive_app.command("snapshot")
def archive_snapshot(
    folder: Folder,
    element: Element = None,
    edge: Edge = None,
    theory: Theory = None,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot of the labels of one element, edge and theory; says its id.

    The same labels have the same id, whenever and however often it is taken.
    """
    from edgestream.dlq_command import print_facts
    from edgestream.tables import print_json

    facts = _snapshot_facts(
        open_archive(folder).snapshot(element=element, edge=edge, theory=theory)
    )
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@archive_app.command("verify")
def archive_verify(folder: Folder, as_json: AsJson = False) -> None:
    """Compute every hash anew, of labels and of snapshots; ends with 2 where one is not as it was.

    Labels that contradict each other are counted, and are no fault.
    """
    from edgestream.tables import print_json

    archive = open_archive(folder)
    faults, conflicts = archive.verify(), archive.conflicts()
    if as_json:
        print_json({"labels": len(archive), "faults": faults, "conflicts": conflicts})
    else:
        for fault in faults:
            typer.echo(fault)
        typer.echo(
            f"{len(archive)} labels, {len(archive.snapshots())} snapshots, {len(faults)} faults, "
            f"{len(conflicts)} structures with several spectra of one theory"
        )
    if faults:
        raise Reject(f"{folder}: {len(faults)} faults; restore the files from a copy")


@archive_app.command("export")
def archive_export(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="File to write, NAME.npz.")],
    snapshot: SnapshotId = None,
    element: Element = None,
    edge: Edge = None,
    theory: Theory = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a snapshot as npz, for edgestream train --data; without --snapshot, one of all now."""
    from edgestream.tables import print_json
    from trainer.label_npz import write_npz

    archive = open_archive(folder)
    if snapshot is None:
        taken = archive.snapshot(element=element, edge=edge, theory=theory)
    else:
        taken = archive.find_snapshot(snapshot)
    write_npz(archive.read(taken.id), archive.rows_of(taken), out, overwrite=overwrite)
    if as_json:
        print_json({**_snapshot_facts(taken), "file": out})
    else:
        typer.echo(f"{out}: {taken.n_labels} labels, snapshot {taken.id}")


def open_archive(folder: Path) -> LabelArchive:
    """An archive; BadLabels for a folder that is none."""
    from trainer.label_archive import LabelArchive

    if not (folder / "lock").exists():
        raise BadLabels(f"{folder}: no archive of labels is there")
    return LabelArchive(folder)


def _is_number(what: str) -> bool:
    return what.isdigit() and len(what) < 8


def _kinds(archive: LabelArchive) -> list[dict[str, Any]]:
    """A row for each element, edge, theory and source."""
    contradicted = {number for numbers in archive.conflicts() for number in numbers}
    kinds: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, row in enumerate(archive.rows):
        key = (row.element, row.edge, row.theory, row.source)
        kind = kinds.setdefault(
            key,
            {
                **dict(zip(("element", "edge", "theory", "source"), key, strict=True)),
                **{"labels": 0, "conflicts": 0, "first": number},
            },
        )
        kind["labels"] += 1
        kind["conflicts"] += number in contradicted
        kind["last"] = number
    return list(kinds.values())


def _label_facts(archive: LabelArchive, number: int) -> dict[str, Any]:
    (label,) = archive.labels(((number, number + 1),))
    row = archive.rows[number]
    same = [n for n, r in enumerate(archive.rows) if r.structure_sha256 == row.structure_sha256]
    return {
        "number": number,
        **{name: getattr(row, name) for name in ("name", "element", "edge", "theory", "source")},
        **{name: getattr(row, name) for name in ("group", "weight", "sha256")},
        "atoms": label.structure().n_atoms,
        "energies": f"{row.low_ev:g} to {row.high_ev:g} eV, {row.n_energy}",
        "pushed": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.t_pushed)),
        "same_structure": ", ".join(
            f"{n} ({archive.rows[n].theory or 'theory not stated'}, {archive.rows[n].source})"
            for n in same
            if n != number
        ),
    }


def _snapshot_facts(taken: Snapshot) -> dict[str, Any]:
    return {
        "snapshot": taken.id,
        "element": taken.element,
        "edge": taken.edge,
        "theory": taken.theory,
        "labels": taken.n_labels,
        "numbers": ", ".join(f"{first}..{end - 1}" for first, end in taken.ranges[:20])
        + (", ..." if len(taken.ranges) > 20 else ""),
    }
