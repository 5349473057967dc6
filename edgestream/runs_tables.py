"""What ``edgestream runs`` and ``replay`` print for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from edgestream.tables import print_table

if TYPE_CHECKING:
    from edgestream.replay import Replayed
    from stream.result_file.listing import Listed
    from stream.result_file.repair import Repair
    from stream.result_file.verify import Verdict

_MB = 1e6


def print_runs(runs: Sequence[Listed]) -> None:
    """``list``."""
    columns = ["run", "state", "frames", "sites", "dead", "models", "started", "MB"]
    print_table(columns, [_row(run) for run in runs])


def _row(run: Listed) -> list[str]:
    return [
        run.name,
        run.state,
        str(run.frames),
        str(run.sites),
        str(run.dead_letters),
        ", ".join(run.models) or "-",
        run.started or "-",
        f"{run.size / _MB:.1f}",
    ]


def print_verdict(verdict: Verdict) -> None:
    """``verify``: a line a fault, then the counts."""
    for fault in verdict.faults:
        typer.echo(f"FAULT  {fault}")
    unchecked = verdict.frames - verdict.checked_frames
    checksums = "all" if not unchecked else f"of {verdict.checked_frames} frames"
    typer.echo(
        f"{verdict.file}: {verdict.state}, {verdict.frames} frames, {verdict.sites} sites, "
        f"{verdict.dead_letters} dead letters; checksums {checksums}; "
        + ("no fault" if verdict.is_good else f"{len(verdict.faults)} faults")
    )


def print_repair(done: Repair) -> None:
    """``repair``: what is lost, then what is not."""
    for name in done.unreadable:
        typer.echo(f"UNREADABLE  {name}")
    for first, end in done.lost:
        typer.echo(f"LOST  frames {first} to {end - 1}: no spectrum")
    for first, end in done.lost_structures:
        typer.echo(f"LOST  frames {first} to {end - 1}: no structure")
    typer.echo(f"{done.file}: {done.saved} of {done.frames} frames saved")


def print_replayed(done: Replayed) -> None:
    """``replay``."""
    state = "interrupted: --resume goes on" if done.interrupted else f"{done.dead_letters} dead"
    typer.echo(f"{done.file}: {done.frames} frames by {done.model}, {state}")
    if done.compared_frames:
        typer.echo(
            f"against the recorded rows of {done.compared_frames} frames: "
            f"median {done.median_percent:.3g} %, largest {done.max_percent:.3g} % "
            f"(frame {done.max_frame})"
        )
