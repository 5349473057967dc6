"""How the figures are shown."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence

from edgestream.bench.pipeline import Costs, PipelineReport
from edgestream.bench.profile import FUNCTIONS_SHOWN
from edgestream.bench.sampling import Figure
from edgestream.tables import print_table


def print_pipeline(report: PipelineReport) -> None:
    """CPU by process, against the direct way."""
    roles = list(report.runs[0].cpu)
    rows = [_process_row(report, role) for role in roles]
    total = [span(report.total_us), *_split(report.runs, roles)]
    rows.append(["all processes", *total, f"{report.ratio.median:.2f}"])
    rows.append(["predict in process", span(report.direct_us), "", "", "1"])
    n = report.runs[0].frames
    print_table(
        ["CPU of", "us/frame (min-max)", "user", "system", "x predict"],
        rows,
        title=f"{n} frames, {len(report.runs)} x; {report.model}; {report.workers} worker(s); "
        f"{report.input}",
    )
    commands = {name: _median_command(report.runs, name) for name in report.runs[-1].commands}
    words = ", ".join(f"{name} {us:.1f}" for name, us in list(commands.items())[:8])
    finishing = statistics.median(run.finished_s - run.disk_s for run in report.runs)
    sys.stdout.write(
        f"frames/s to disk   {span(report.frames_per_s)}; the file is finished {finishing:.2f} s "
        f"later\nserver, us/frame within its commands (a script's are in its own too): {words}\n"
    )
    for role, counts in report.profile.items():
        _print_profile(report, role, counts)


def _print_profile(report: PipelineReport, role: str, counts: Counter[str]) -> None:
    """Functions of one process, their samples turned into its measured CPU time."""
    used = statistics.median(1e6 * run.cpu[role].total_s / run.frames for run in report.runs)
    scale = used / max(1, counts.total())
    print_table(
        [f"{role}: function, with what it calls outside", "us/frame", "%"],
        [
            [name, number(scale * n), number(100 * n / counts.total())]
            for name, n in counts.most_common(FUNCTIONS_SHOWN)
        ],
    )


def span(figure: Figure) -> str:
    """Median, and the range where there is more than one sample."""
    if figure.samples == 1:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.min)}-{number(figure.max)})"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def _process_row(report: PipelineReport, role: str) -> list[str]:
    us = Figure.of([1e6 * run.cpu[role].total_s / run.frames for run in report.runs])
    share = us.median / report.direct_us.median
    return [role, span(us), *_split(report.runs, [role]), f"{share:.2f}"]


def _split(runs: Sequence[Costs], roles: Sequence[str]) -> list[str]:
    """User and system time a frame, medians."""
    return [
        number(
            statistics.median(
                1e6 * sum(getattr(run.cpu[role], kind) for role in roles) / run.frames
                for run in runs
            )
        )
        for kind in ("user_s", "system_s")
    ]


def _median_command(runs: Sequence[Costs], name: str) -> float:
    return statistics.median(run.commands.get(name, 0.0) for run in runs)
