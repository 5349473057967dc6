"""How the figures are shown: tables for people, one flat object for programs."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgestream.bench.pipeline import Costs, PipelineReport
from edgestream.bench.profile import FUNCTIONS_SHOWN
from edgestream.bench.request import Section
from edgestream.bench.sampling import Figure
from edgestream.bench.targets import Target
from edgestream.tables import print_table


def as_object(
    sections: Mapping[str, Section], machine: Mapping[str, object], missed: Sequence[str]
) -> dict[str, Any]:
    """One flat object: each figure's median under its key, ``_min`` and ``_max`` beside it."""
    flat: dict[str, Any] = {}
    for key, figure in all_figures(sections).items():
        flat |= {key: figure.median, f"{key}_min": figure.min, f"{key}_max": figure.max}
    return {
        **flat,
        "missed": list(missed),
        "machine": machine,
        "used": {key: words for s in sections.values() for key, words in s.used.items()},
        "details": {key: value for s in sections.values() for key, value in s.details.items()},
    }


def all_figures(sections: Mapping[str, Section]) -> dict[str, Figure]:
    """The figures of all sections."""
    return {key: figure for s in sections.values() for key, figure in s.figures.items()}


def print_report(
    sections: Mapping[str, Section], machine: Mapping[str, Any], targets: Mapping[str, Target]
) -> None:
    """Every section: its figures with what is asked of them, then what it was measured on."""
    load = ", ".join(f"{value:.1f}" for value in machine["load_average"])
    _say(f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}; load {load}")
    for name, section in sections.items():
        rows = [_row(key, figure, targets.get(key)) for key, figure in section.figures.items()]
        print_table([name, "median (least-most)", "asked for", ""], rows)
        _say(*(f"  {key}: {words}" for key, words in section.used.items()))
        for report in section.details.values():
            _print_pipeline(report)


def _row(key: str, figure: Figure, target: Target | None) -> list[str]:
    if target is None:
        return [key, span(figure), "", ""]
    verdict = "ok" if target.met_by(figure) else "MISSED"
    return [key, span(figure), f"{target.bound} {number(target.limit)}", verdict]


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


# -- the pipeline, process by process -------------------------------------------------------------


def _print_pipeline(report: PipelineReport) -> None:
    rows = [_process_row(report, role) for role in report.roles]
    total = [span(report.total_us), *_split(report.runs, report.roles)]
    rows.append(["all processes", *total, f"{report.ratio.median:.2f}"])
    rows.append(["predict in process", span(report.direct_us), "", "", "1"])
    columns = ["us/frame (least-most)", "user", "system", "x predict"]
    print_table([f"CPU of, with {report.model}", *columns], rows)
    commands = {name: _median_command(report.runs, name) for name in report.runs[-1].commands}
    words = ", ".join(f"{name} {us:.1f}" for name, us in list(commands.items())[:8])
    finishing = statistics.median(run.finished_s - run.disk_s for run in report.runs)
    _say(
        f"  the file is finished {finishing:.2f} s after its last row is on disk",
        f"  server, us/frame within its commands (a script's are in its own too): {words}",
    )
    for role, counts in report.profile.items():
        _print_profile(report, role, counts)


def _print_profile(report: PipelineReport, role: str, counts: Counter[str]) -> None:
    """Functions of one process, their samples turned into its measured CPU time."""
    scale = report.us(role).median / max(1, counts.total())
    print_table(
        [f"{role}: function, with what it calls outside", "us/frame", "%"],
        [
            [name, number(scale * n), number(100 * n / counts.total())]
            for name, n in counts.most_common(FUNCTIONS_SHOWN)
        ],
    )


def _process_row(report: PipelineReport, role: str) -> list[str]:
    us = report.us(role)
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


# -- numbers --------------------------------------------------------------------------------------


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
