"""What was fuzzed, a line a slice; a slice is repeated by its commit, seed and how it was fed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slices import ROOT, Count

PATH = Path(__file__).with_name("record.jsonl")
HEAD = (
    *("target", "guided", "blind", "inputs/s", "refused", "contained", "escapes"),
    *("inputs since the last", "seeds"),
)


def add(path: Path, count: Count, seed: int, commit: str, *, guided: bool) -> None:
    """Add a slice."""
    line = {
        "target": count.target,
        "how": "guided" if guided else "blind",
        "seed": seed,
        "commit": commit,
        **{name: getattr(count, name) for name in ("inputs", "refused", "contained", "escaped")},
        "cpu_s": round(count.cpu_s, 1),
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def commit_here() -> str:
    """Of the code that is fuzzed."""
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    return told.stdout.decode().strip()


def read(path: Path) -> list[dict[str, Any]]:
    """Slices, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(slices: Sequence[dict[str, Any]]) -> str:
    """Markdown, a row a target. inputs/s: of processor time, with the start of processes."""
    names = sorted({line["target"] for line in slices})
    rows = [_row(name, [line for line in slices if line["target"] == name]) for name in names]
    rows.append([*_row("all", slices)[:-2], "", ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *rows))


def _row(name: str, slices: Sequence[dict[str, Any]]) -> list[str]:
    def of(figure: str, lines: Sequence[dict[str, Any]] = slices) -> float:
        return sum(line[figure] for line in lines)

    timed = [line for line in slices if line["cpu_s"]]
    speed = of("inputs", timed) / (of("cpu_s", timed) or 1.0)
    last = max((i for i, line in enumerate(slices) if line["escaped"]), default=-1)
    seeds = sorted({line["seed"] for line in slices})
    return [
        name,
        f"{of('inputs', [line for line in slices if line['how'] == 'guided']):,}",
        f"{of('inputs', [line for line in slices if line['how'] == 'blind']):,}",
        f"{speed:.0f}",
        f"{100 * of('refused') / of('inputs'):.0f} %",
        f"{of('contained'):,}",
        f"{of('escaped'):,}",
        f"{of('inputs', slices[last + 1 :]):,}",
        _ranges(seeds),
    ]


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 -> 1-3, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in found)
