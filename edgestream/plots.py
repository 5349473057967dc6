"""Figures of runs, predictions and matches, as PNG, SVG or PDF by the name of the file.

matplotlib is imported when the first figure is drawn. No display and no pyplot state is touched.
Colours are told apart by colour-blind readers: Okabe and Ito's for lines, cividis for intensity.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgestream.match import Match
from xas.errors import Reject, StorageFailed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

SUFFIXES = (".png", ".svg", ".pdf")
MAX_ROWS = 500
# Okabe and Ito, https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, BLUE, ORANGE = "#222222", COLOURS[0], COLOURS[1]
_STYLE: Any = {
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 11,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a name may hold a dollar sign
}
_TIME_UNITS = ((5e6, 1e6, "ns"), (5e3, 1e3, "ps"), (0.0, 1.0, "fs"))


def plot_run(
    energy: ArrayLike,
    average: ArrayLike,
    errors: ArrayLike | None,
    spread: ArrayLike | None,
    intensity: Any,
    times: ArrayLike | None,
    path: str | Path,
    title: str = "",
) -> None:
    """Draw a run: its average with bands, the spectra over time, and what changes in them.

    energy     (n_energy,) eV
    average    (n_energy,), with errors (its own) and spread (over frames), one standard deviation
    intensity  (n_frames, n_energy), an array or an open data set; read in slices, averaged to at
               most 500 rows; rows of NaN stay empty
    times      (n_frames,) fs; None, or not all finite: the frame's number is the axis
    """
    grid, mean = _row(energy), _row(average)
    rows, edges, label = waterfall(intensity, times)
    with _figure(path, (6.4, 7.2)) as figure:
        layout = figure.add_gridspec(3, 2, height_ratios=(1.15, 1, 1), width_ratios=(1, 0.025))
        top = figure.add_subplot(layout[0, 0])
        _average(top, grid, mean, errors, spread)
        top.set_title(title, loc="left")
        middle = figure.add_subplot(layout[1, 0], sharex=top)
        _image(figure, layout[1, 1], middle, grid, edges, rows, "intensity", centred=False)
        bottom = figure.add_subplot(layout[2, 0], sharex=top)
        change = rows - mean
        _image(
            figure,
            layout[2, 1],
            bottom,
            grid,
            edges,
            change,
            "difference from average",
            centred=True,
        )
        for axes in (middle, bottom):
            axes.set_ylabel(label)
        for axes in (top, middle):
            axes.tick_params(labelbottom=False)
        top.set_xlim(grid[0], grid[-1])
        bottom.set_xlabel("energy (eV)")


def plot_predictions(
    energy: ArrayLike,
    intensity: ArrayLike,
    errors: ArrayLike | None,
    labels: Sequence[str],
    path: str | Path,
    title: str = "",
) -> None:
    """Draw predicted spectra (n, n_energy), each with a band of one standard deviation.

    Up to seven have a colour and a name each; more are drawn thin, coloured by their order.
    """
    grid = _row(energy)
    spectra = np.atleast_2d(np.asarray(intensity, dtype=np.float64))
    bands = None if errors is None else np.atleast_2d(np.asarray(errors, dtype=np.float64))
    if not len(spectra):
        raise Reject("there is no spectrum to draw")
    with _figure(path, (6.4, 4.2)) as figure:
        axes = figure.add_subplot()
        if len(spectra) <= len(COLOURS):
            for k, spectrum in enumerate(spectra):
                band = None if bands is None else bands[k]
                _line(axes, grid, spectrum, band, COLOURS[k], labels[k] if k < len(labels) else "")
            axes.legend(loc="best")
        else:
            _many(figure, axes, grid, spectra)
        axes.set_title(title, loc="left")
        _label(axes, grid, "intensity")


def plot_match(match: Match, path: str | Path, title: str = "") -> None:
    """Draw a measured spectrum and the fitted prediction, and their difference below."""
    with _figure(path, (6.4, 5.0)) as figure:
        layout = figure.add_gridspec(2, 1, height_ratios=(3, 1))
        top = figure.add_subplot(layout[0])
        top.plot(match.energy, match.measured, color=INK, label=f"measured: {match.name}")
        _line(top, match.energy, match.predicted, match.errors, ORANGE, "predicted")
        top.legend(loc="lower right")
        top.set_title(title or _verdict(match), loc="left")
        top.set_ylabel("normalised absorption")
        top.tick_params(labelbottom=False)
        bottom = figure.add_subplot(layout[1], sharex=top)
        bottom.axhline(0.0, color=INK, linewidth=0.6)
        bottom.plot(match.energy, match.predicted - match.measured, color=ORANGE)
        _label(bottom, match.energy, "difference")


def waterfall(intensity: Any, times: ArrayLike | None) -> tuple[Array, Array, str]:
    """Average consecutive frames to at most 500 rows.

    Returns rows (n, n_energy), their borders on the time axis (n + 1,), and the axis' label.
    """
    n_frames = len(intensity)
    if n_frames == 0:
        raise Reject("the run has no frame to draw")
    n_rows = min(n_frames, MAX_ROWS)
    cuts = np.linspace(0, n_frames, n_rows + 1).round().astype(np.int64)
    rows = np.stack([_mean(intensity[a:b]) for a, b in pairwise(cuts)])
    axis, label = _time_axis(times, n_frames)
    return (
        rows,
        np.append(axis, 2 * axis[-1] - axis[-2] if n_frames > 1 else axis[-1] + 1)[cuts],
        label,
    )


def _mean(frames: Any) -> Array:
    """Return the mean over the frames that have a value, NaN where none has."""
    block = np.asarray(frames, dtype=np.float64)
    known = np.isfinite(block)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = np.where(known, block, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean


def _time_axis(times: ArrayLike | None, n_frames: int) -> tuple[Array, str]:
    axis = np.arange(n_frames, dtype=np.float64) if times is None else _row(times)
    if times is None or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
        return np.arange(n_frames, dtype=np.float64), "frame"
    span = axis[-1] - axis[0]
    scale, unit = next((scale, unit) for least, scale, unit in _TIME_UNITS if span >= least)
    return axis / scale, f"time ({unit})"


def _average(
    axes: Axes, grid: Array, mean: Array, errors: ArrayLike | None, spread: ArrayLike | None
) -> None:
    bands = ((spread, 0.18, "spread over frames"), (errors, 0.45, "error of the average"))
    for width, alpha, label in bands:
        if width is not None and np.isfinite(width).any():  # some models give no errors
            low, high = mean - _row(width), mean + _row(width)
            axes.fill_between(grid, low, high, color=BLUE, alpha=alpha, linewidth=0, label=label)
    axes.plot(grid, mean, color=BLUE, label="average")
    axes.set_ylabel("intensity")
    axes.set_ylim(bottom=min(0.0, float(np.nanmin(mean))))
    axes.legend(loc="upper left")


def _image(
    figure: Figure,
    bar: Any,
    axes: Axes,
    grid: Array,
    edges: Array,
    rows: Array,
    label: str,
    *,
    centred: bool,
) -> None:
    largest = float(np.nanpercentile(np.abs(rows), 99.5)) if np.isfinite(rows).any() else 1.0
    mesh = axes.pcolormesh(
        _borders(grid),
        edges,
        np.ma.masked_invalid(rows),
        cmap="PuOr_r" if centred else "cividis",
        vmin=-largest if centred else 0.0,
        vmax=largest if largest > 0 else 1.0,
        rasterized=True,
    )
    axes.set_facecolor("#dddddd")
    figure.colorbar(mesh, cax=figure.add_subplot(bar), label=label)


def _borders(grid: Array) -> Array:
    middles = 0.5 * (grid[1:] + grid[:-1])
    return np.concatenate([[2 * grid[0] - middles[0]], middles, [2 * grid[-1] - middles[-1]]])


def _many(figure: Figure, axes: Axes, grid: Array, spectra: Array) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shown = np.unique(np.linspace(0, len(spectra) - 1, MAX_ROWS).round().astype(np.int64))
    colours: Any = ScalarMappable(Normalize(0, len(spectra) - 1), "viridis")
    for k in shown:
        axes.plot(grid, spectra[k], color=colours.to_rgba(float(k)), linewidth=0.6, alpha=0.7)
    axes.plot(grid, _mean(spectra), color=INK, label=f"mean of {len(spectra)}")
    axes.legend(loc="best")
    figure.colorbar(colours, ax=axes, label="spectrum", pad=0.02)


def _line(
    axes: Axes, grid: Array, spectrum: Array, band: Array | None, colour: str, label: str
) -> None:
    axes.plot(grid, spectrum, color=colour, label=label or None)
    if band is not None:
        axes.fill_between(
            grid, spectrum - band, spectrum + band, color=colour, alpha=0.25, linewidth=0
        )


def _label(axes: Axes, grid: Array, quantity: str) -> None:
    axes.set_xlim(grid[0], grid[-1])
    axes.set_xlabel("energy (eV)")
    axes.set_ylabel(quantity)


def _verdict(match: Match) -> str:
    return (
        f"shift {match.shift_ev:+.2f} eV, scale {match.scale:.3f},"
        f" distance {match.distance_percent:.1f} %"
    )


def _row(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64).ravel()


def check_picture(path: str | Path) -> None:
    """Reject where no figure can be written under this name: to be known before a long run."""
    path = Path(path)
    _require_suffix(path)
    if not path.absolute().parent.is_dir():
        raise Reject(f"{path}: there is no folder {path.absolute().parent} to write the figure to")


def _require_suffix(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise Reject(f"{path}: a figure is written as {', '.join(SUFFIXES)}")


class _figure:  # noqa: N801 - reads as a function
    """A figure that is written when the block ends well; the file appears whole or not at all."""

    def __init__(self, path: str | Path, size_inch: tuple[float, float]) -> None:
        self._path = Path(path)
        self._size = size_inch
        _require_suffix(self._path)

    def __enter__(self) -> Figure:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        self._context = mpl.rc_context(_STYLE)
        self._context.__enter__()
        self._figure = Figure(figsize=self._size, layout="constrained")
        return self._figure

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        try:
            if kind is None:
                self._write()
        finally:
            self._context.__exit__(kind, *rest)

    def _write(self) -> None:
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            self._figure.savefig(part, dpi=200, format=self._path.suffix[1:].lower())
            part.replace(self._path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StorageFailed(f"{self._path}: cannot be written ({error})") from None
