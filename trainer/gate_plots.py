"""Figures of a judgement as SVG: what stands behind the verdict, champion and candidate beside
each other, in colours and line styles that colour-blind readers tell apart (Okabe and Ito's)."""

from __future__ import annotations

import io
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.judgement import Trial
from trainer.prediction import LEVELS, Prediction
from trainer.verdict import Change, Verdict
from xas.measures import MATCHING_WINDOW_EV, match_peaks, percentage_error, prominent_peaks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

INK, CHAMPION, CANDIDATE = "#222222", "#0072B2", "#D55E00"
LOOKS: dict[str, dict[str, Any]] = {
    "champion": {"color": CHAMPION, "linestyle": "--"},
    "candidate": {"color": CANDIDATE, "linestyle": "-"},
}
STYLE: Any = {
    "font.size": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "edgestream",
    "text.parse_math": False,
}


def svg(size_inch: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """What ``draw`` puts on a figure; no display and no pyplot state is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size_inch, layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", dpi=150, metadata={"Date": None})
    return file.getvalue()


def draw_errors(figure: Figure, trial: Trial) -> None:
    """Histogram of the percentage errors of both."""
    axes = figure.subplots()
    errors = {who: percentage_error(p.mean, trial.target) for who, p in _both(trial).items()}
    most = float(np.quantile(np.concatenate(list(errors.values())), 0.99))
    bins = np.linspace(0.0, max(most, 1e-6), 41)
    for who, values in errors.items():
        label = f"{who}: median {np.median(values):.2f} %"
        axes.hist(
            np.minimum(values, most), bins=bins.tolist(), histtype="step", label=label, **LOOKS[who]
        )
    axes.set_xlabel("error of a spectrum (%); the last bin holds all larger ones")
    axes.set_ylabel("labels")
    axes.legend()


def draw_peaks(figure: Figure, trial: Trial) -> None:
    """Positions of prominent peaks, predicted against reference."""
    wanted = [prominent_peaks(trial.energy, row) for row in trial.target]
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (who, said) in zip(panels, _both(trial).items(), strict=True):
        pairs = [
            pair
            for row, peaks in zip(said.mean, wanted, strict=True)
            for pair in match_peaks(prominent_peaks(trial.energy, row), peaks, MATCHING_WINDOW_EV)
        ]
        found = np.array(pairs).reshape(-1, 2)
        axes.plot(trial.energy[[0, -1]], trial.energy[[0, -1]], color=INK, linewidth=0.8)
        axes.scatter(
            found[:, 1], found[:, 0], s=4, alpha=0.4, color=LOOKS[who]["color"], rasterized=True
        )
        away = float(np.abs(found[:, 0] - found[:, 1]).mean()) if len(found) else float("nan")
        axes.set_title(f"{who}: {len(found)} peaks found, {away:.2f} eV off", fontsize=10)
        axes.set_xlabel("reference (eV)")
    panels[0].set_ylabel("predicted (eV)")


def draw_calibration(figure: Figure, trial: Trial) -> None:
    """Points that an interval holds against how many it should; crosses: as the model states."""
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8)
    levels = np.linspace(0.02, 0.98, 25)
    for who, said in _both(trial).items():
        away = np.abs(trial.target - said.mean)
        reach = [NormalDist().inv_cdf(0.5 + 0.5 * level) for level in levels]
        held = [100.0 * float((away <= z * said.std).mean()) for z in reach]
        axes.plot(100.0 * levels, held, label=f"{who}, if errors were normal", **LOOKS[who])
        stated = [100.0 * float((away <= said.reach[k] * said.std).mean()) for k in LEVELS]
        nominal = [100.0 * level for level in LEVELS.values()]
        axes.plot(nominal, stated, "x", color=LOOKS[who]["color"], label=f"{who}, as it states")
    axes.set_xlabel("points that should lie in the interval (%)")
    axes.set_ylabel("points that do (%)")
    axes.legend()


def draw_spectra(figure: Figure, trial: Trial) -> None:
    """The candidate's best, median and worst spectrum, with the champion's beside them."""
    errors = percentage_error(trial.candidate.mean, trial.target)
    order = np.argsort(errors)
    shown = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    for axes, (what, i) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        _spectrum(axes, trial, int(i))
        axes.set_title(f"{what}, {errors[i]:.1f} %\n{trial.names[i]}", fontsize=8)
        axes.set_xlabel("energy (eV)")
    figure.axes[0].set_ylabel("intensity")
    figure.axes[0].legend(loc="lower right", fontsize=8)


def draw_subgroups(figure: Figure, verdict: Verdict) -> None:
    """Change of the error of each subgroup, with intervals that hold all at once."""
    axes = figure.subplots()
    told = [c for c in (*verdict.changes, *verdict.subgroups) if c.percent is not None]
    for row, change in enumerate(reversed(told)):
        _interval(axes, row, change)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(told)), [f"{c.name} ({c.n_labels})" for c in reversed(told)])
    axes.set_xlabel("change of the error (%); left of 0: better")


def _interval(axes: Axes, row: int, change: Change) -> None:
    looks = {"better": (CHAMPION, "o"), "worse": (CANDIDATE, "X")}
    colour, marker = looks.get(change.finding, (INK, "o"))
    axes.plot([change.low or 0.0, change.high or 0.0], [row, row], color=colour)
    axes.plot([change.percent or 0.0], [row], marker, color=colour)


def _spectrum(axes: Axes, trial: Trial, i: int) -> None:
    axes.plot(trial.energy, trial.target[i], color=INK, linewidth=1.0, label="label")
    for who, said in _both(trial).items():
        axes.plot(trial.energy, said.mean[i], label=who, **LOOKS[who])
    mean, std = trial.candidate.mean[i], trial.candidate.std[i]
    axes.fill_between(
        trial.energy, mean - std, mean + std, color=CANDIDATE, alpha=0.25, linewidth=0
    )


def _both(trial: Trial) -> dict[str, Prediction]:
    return {"champion": trial.champion, "candidate": trial.candidate}
