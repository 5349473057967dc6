"""The picture of ``edgestream explain``: importance of radial features over their distance, above
the histogram of the distances themselves, and the most important kinds beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgestream.plots import COLOURS, _figure
from trainer.feature_words import kind_of
from trainer.importance import Importance
from trainer.insight import Distances, Insight

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ("-", "--", ":", "-.")
MOST_KINDS, MOST_LINES = 12, 7
_RADIAL = re.compile(r".* radial, ([\d.]+) angstrom$")


def plot_insight(found: Insight, path: Path) -> None:
    """Draw it; the file appears whole or not at all."""
    with _figure(path, (10.0, 6.4)) as figure:
        left = figure.add_gridspec(2, 2, width_ratios=(1, 1))
        top = figure.add_subplot(left[0, 0])
        _radial(top, found.features, [*found.distances.per_label])
        top.set_title(f"{found.model}: {found.n_labels} labels of {found.labels}", loc="left")
        _distances(figure.add_subplot(left[1, 0], sharex=top), found.distances)
        _kinds(figure.add_subplot(left[:, 1]), found.kinds)


def _radial(axes: Axes, features: list[Importance], elements: list[str]) -> None:
    """One line a kind of radial feature, over the whole spectrum."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for one in features:
        if where := _RADIAL.match(one.name):
            rise = next(iter(one.rise.values()))
            lines.setdefault(kind_of(one.name), []).append((float(where[1]), rise))
    strongest = sorted(lines, key=lambda kind: -max(rise for _, rise in lines[kind]))
    for kind in strongest[:MOST_LINES]:
        points = np.array(sorted(lines[kind]))
        axes.plot(*points.T, label=kind, **_looks(kind.split(" ")[0].partition("-")[2], elements))
    axes.set_ylabel("rise of the error (points)")
    if strongest:
        axes.legend(fontsize=8)


def _distances(axes: Axes, distances: Distances) -> None:
    elements = [*distances.per_label]
    for element in elements[:MOST_LINES]:
        counts = distances.per_label[element]
        looks = _looks(element, elements)
        axes.stairs(counts, distances.edges_angstrom, label=element, **looks)
    axes.set_xlabel("distance from the absorber (angstrom)")
    axes.set_ylabel("atoms a label")
    axes.legend(fontsize=8)


def _looks(element: str, elements: list[str]) -> dict[str, Any]:
    """The same for an element in both panels; groups of elements are black."""
    if element not in elements[:MOST_LINES]:
        return {"color": COLOURS[-1], "linestyle": MARKS[len(element) % len(MARKS)]}
    i = elements.index(element)
    return {"color": COLOURS[i % (len(COLOURS) - 1)], "linestyle": MARKS[i % len(MARKS)]}


def _kinds(axes: Axes, kinds: list[Importance]) -> None:
    shown = kinds[:MOST_KINDS][::-1]
    windows = list(shown[0].rise) if shown else []
    height = 0.8 / max(1, len(windows))
    for i, window in enumerate(windows):
        at = np.arange(len(shown)) + 0.4 - height * (i + 0.5)
        axes.barh(
            at,
            [one.rise[window] for one in shown],
            height,
            xerr=[one.spread[window] for one in shown],
            color=COLOURS[i % len(COLOURS)],
            label=window,
        )
    axes.set_yticks(range(len(shown)), [one.name for one in shown])
    axes.set_xlabel("rise of the error, all of a kind dealt together (points)")
    axes.legend(fontsize=8, loc="lower right")
