"""What ``edgestream explain`` prints."""

from __future__ import annotations

import sys
from pathlib import Path

from edgestream.tables import print_table
from trainer.importance import Importance
from trainer.insight import Insight
from trainer.selection import Chosen


def print_insight(found: Insight, top: int, plot: Path | None) -> None:
    """Kinds of features, then single ones, then what suffices."""
    _importances(f"{found.model} on {found.n_labels} labels of {found.labels}", found.kinds, top)
    _importances("single features", found.features, top)
    if found.chosen:
        print_table(["features that suffice", "of", "kept", "R2, held out"], _rows(found.chosen))
        for one in found.chosen[-2:]:
            _say(f"{one.way}:", *(f"  {name}" for name in one.names))
    _say("rises of the mean error in percentage points, +- over repeats")
    if plot is not None:
        _say(f"picture {plot}")


def _importances(title: str, found: list[Importance], top: int) -> None:
    windows = list(found[0].rise) if found else []
    rows = [
        [one.name, *(f"{one.rise[w]:.3f} +- {one.spread[w]:.3f}" for w in windows)]
        for one in found[:top]
    ]
    print_table(["feature", *windows], rows, title=title)


def _rows(chosen: list[Chosen]) -> list[list[str]]:
    return [[one.way, str(one.n_of), str(one.n_kept), f"{one.r2:.3f}"] for one in chosen]


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
