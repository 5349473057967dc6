"""What the command line prints: tables for people, JSON for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from edgestream.match import Match
    from edgestream.prediction import Spectra
    from edgestream.push_command import Pushed
    from edgestream.run_command import Summary
    from edgestream.status import Status
    from stream.broker import RunState

MAX_ROWS = 40


def print_json(value: Any) -> None:
    """One JSON object on standard output; not-a-number becomes null."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=_plain).decode() + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value)} does not go into JSON")


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """A table; the first column to the left, the others to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.collapse_padding = True
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(table, markup=False, highlight=False)


def print_summary(summary: Summary, *, plot: Path | None, as_json: bool) -> None:
    """The end of ``run``."""
    if as_json:
        print_json(summary)
        return
    uncertainty = summary.median_uncertainty_percent
    _print(
        f"frames       {summary.frames}"
        + ("  (interrupted; --resume goes on)" if summary.interrupted else ""),
        f"sites        {summary.sites}",
        f"rate         {summary.frames_per_s:.0f} frames/s, {summary.seconds:.1f} s in all",
        "uncertainty  "
        + ("-" if uncertainty is None else f"{uncertainty:.1f} % (median, one sigma)"),
        f"model        {summary.model or '-'}",
        f"file         {summary.file}",
    )
    if plot is not None:
        _print(f"picture      {plot}")
    if summary.dead_letters:
        _print(f"dead letters {summary.dead_letters}", *(f"  {r}" for r in summary.first_reasons))


def say_pushed(pushed: Pushed) -> None:
    """The end of ``push``."""
    state = "sealed" if pushed.sealed else "open: --resume goes on"
    rate = pushed.new_frames / max(pushed.seconds, 1e-9)
    _print(f"run {pushed.run!r}: {pushed.frames} frames, {rate:.0f} frames/s, {state}")


def print_status(status: Status) -> None:
    """``status``: trouble first."""
    _print(f"server {status.server} ({status.version})")
    for line in status.trouble:
        _print(f"TROUBLE  {line}")
    _print(
        f"backlog {status.backlog} frames; {status.pushed_per_s:.0f} frames/s in, "
        f"{status.written_per_s:.0f} frames/s to disk"
    )
    print_table(
        ["run", "model", "pushed", "on disk", "dead", "state", "file"],
        [_run_row(run) for run in status.runs[-MAX_ROWS:]],
    )
    now = time.time()
    print_table(
        ["worker", "device", "models", "frames", "failed", "busy", "seen"],
        [
            [
                w.name,
                w.device,
                ", ".join(w.models) or "-",
                str(w.frames),
                str(w.failures),
                f"{w.busy_s:.1f} s",
                f"{max(0.0, now - w.seen_at):.0f} s ago",
            ]
            for w in status.workers
        ],
    )


def _run_row(run: RunState) -> list[str]:
    if run.refusal:
        state = "refused"
    elif run.finished:
        state = "interrupted" if run.interrupted else "finished"
    elif run.sealed is not None:
        state = "sealed"
    else:
        state = "open" if run.paused_at is None else "paused"
    where = f"{run.host}:{run.file}" if run.file else "-"
    return [
        run.run,
        run.spec.model,
        str(run.next_index),
        str(run.watermark),
        str(run.dead),
        state,
        where,
    ]


def print_spectra(spectra: Spectra, *, plot: Path | None) -> None:
    """``predict``: a row a site."""
    with np.errstate(invalid="ignore"):
        share = 100.0 * spectra.errors.sum(axis=1) / spectra.intensity.sum(axis=1)
    highest = spectra.energy[spectra.intensity.argmax(axis=1)]
    rows = [
        [
            str(spectra.structure[i]),
            str(spectra.atom[i]),
            f"{highest[i]:.1f}",
            f"{spectra.intensity[i].max():.3f}",
            _or_dash(share[i], 1),
            _or_dash(spectra.novelty[i], 2),
        ]
        for i in range(min(len(spectra), MAX_ROWS))
    ]
    print_table(
        ["structure", "atom", "white line / eV", "height", "uncertainty / %", "novelty"],
        rows,
        title=f"{spectra.model}: {len(spectra)} sites, "
        f"{spectra.energy[0]:.0f} to {spectra.energy[-1]:.0f} eV",
    )
    if len(spectra) > MAX_ROWS:
        _print(f"({len(spectra) - MAX_ROWS} more; --json prints all, with the spectra)")
    if plot is not None:
        _print(f"picture {plot}")


def _or_dash(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def print_match(found: Match, measured: Path, predicted: Path, *, plot: Path | None) -> None:
    """``match``."""
    low, high = found.overlap_ev
    _print(
        f"measured     {measured} ({found.name})",
        f"predicted    {predicted}",
        f"shift        {found.shift_ev:+.2f} eV" + ("  (at its limit!)" if found.at_limit else ""),
        f"scale        {found.scale:.3f}",
        f"distance     {found.distance_percent:.1f} %  (rms {found.rms:.3f} edge steps)",
        f"correlation  {found.correlation:.3f}",
        f"overlap      {low:.1f} to {high:.1f} eV",
    )
    if found.within_errors is not None:
        _print(f"within 2 sd  {100 * found.within_errors:.0f} % of the points")
    if plot is not None:
        _print(f"picture      {plot}")
