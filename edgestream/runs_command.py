"""``edgestream runs``: the result files of a folder, checked, repaired and copied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.options import AsJson, Quiet

runs_app = typer.Typer(
    help="Result files: list them, verify them, repair and copy them.\n\n"
    "edgestream runs list out/                   what is there\n\n"
    "edgestream runs verify md.h5                checksums, no gap, no double\n\n"
    "edgestream runs repair md.h5                what still holds, into a new file\n\n"
    "edgestream runs copy md.h5 /backup          also while it grows",
)

File = Annotated[Path, typer.Argument(help="Result file, NAME.h5; growing or finished.")]


@runs_app.command("list")
def runs_list(
    folder: Annotated[Path, typer.Argument(help="Folder of result files.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """All runs of a folder, a line each; also those whose main file is missing or damaged."""
    from edgestream.runs_tables import print_runs
    from edgestream.tables import print_json
    from stream.result_file.listing import list_runs

    found = list_runs(folder)
    if as_json:
        print_json(found)
    else:
        print_runs(found)


@runs_app.command("verify")
def runs_verify(
    files: Annotated[list[Path], typer.Argument(help="Result files; growing or finished.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read runs from begin to end: are they what was written, with no gap and no double?

    Every stretch of rows against its checksums, indices, status, sites and structures against each
    other, the average against the mean of the rows. A run may grow meanwhile. --json: an object, a
    list of them for several files.

    Exit codes: 0 no fault, 1 faults (a line each), 2 no such file.
    """
    from edgestream.progress import show_progress
    from edgestream.runs_tables import print_verdict
    from edgestream.tables import print_json
    from stream.result_file.verify import verify

    verdicts = []
    for file in files:
        with show_progress(file.name, quiet=quiet) as progress:
            verdicts.append(verify(file, progress.update))
        if not as_json:
            print_verdict(verdicts[-1])
    if as_json:
        print_json(verdicts if len(files) > 1 else verdicts[0])
    if not all(verdict.is_good for verdict in verdicts):
        raise SystemExit(1)


@runs_app.command("repair")
def runs_repair(
    file: File,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="New file. Default: NAME.repaired.h5.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Save all rows whose checksums hold into a new file; what is there stays untouched.

    Looks into the file, also a cut one, and into all segments beside it. Frames that are lost keep
    their index, with status 0 and no spectrum. A run that only lost its writer needs no repair: the
    next writer goes on with it.

    Exit codes: 0 nothing is lost, 1 something is (a line each), 2 nothing can be saved.
    """
    from edgestream.progress import show_progress
    from edgestream.runs_tables import print_repair
    from edgestream.tables import print_json
    from stream.result_file.repair import repair

    with show_progress(file.name, quiet=quiet) as progress:
        done = repair(file, out, progress.update)
    if as_json:
        print_json(done)
    else:
        print_repair(done)
    if done.lost or done.lost_structures:
        raise SystemExit(1)


@runs_app.command("copy")
def runs_copy(
    file: File,
    dest: Annotated[Path, typer.Argument(help="New file, or a folder.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a run, also while it grows, into one file that needs no other.

    The copy of a growing run is what its main file shows at this moment; its writer is not
    disturbed. It appears whole or not at all, and can be resumed as an interrupted run.
    """
    from edgestream.tables import print_json
    from stream.result_file.copying import copy_run

    target = copy_run(file, dest, overwrite=overwrite)
    if as_json:
        print_json({"file": target, "bytes": target.stat().st_size})
    else:
        typer.echo(f"{target}: {target.stat().st_size} bytes")
