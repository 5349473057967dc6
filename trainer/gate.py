"""The gate: whether a candidate may take the champion's place. Arrays in, a verdict out.

Both have predicted the same labels, whose groups neither was trained on (`held_out.py`). The
candidate is promoted only if all of this holds:

- it is better beyond its bootstrap confidence on all held-out labels, or on the newest of them,
  and not worse on the other;
- its intervals hold as many points as they say, within stated points; they may hold more where
  they are no wider than the champion's;
- it is not worse on any named subgroup, beyond what many comparisons at once find by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.prediction import LEVELS, Prediction
from trainer.resampling import Resampled, resample
from trainer.verdict import RULES, Change, Coverage, Rules, Verdict
from xas.measures import percentage_error

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ALL, NEWEST = "all held-out labels", "the newest labels"
WORST = "labels that either model gets badly wrong"
BADLY_WRONG_QUANTILE = 0.9
SMALLEST_PERCENT = 1e-3
"""Errors below are equal: a ratio of two of them says nothing."""
SMALLEST_BAR = 1e-12
"""Of a model that says nothing of its errors: any other bar is wider."""


def judge(
    target: Array,
    champion: Prediction,
    candidate: Prediction,
    groups: NDArray[np.str_],
    subgroups: Mapping[str, Mask],
    newest: Mask | None = None,
    rules: Rules = RULES,
    weights: Array | None = None,
) -> Verdict:
    """May the candidate take the champion's place? The same input gives the same verdict.

    target     (n, n_energy) labels that neither model was trained on, nor on others of their groups
    groups     (n,) what is drawn together
    subgroups  name -> (n,), on none of which the candidate may be worse
    newest     (n,) the labels that came last; None: none is newer than another
    weights    (n,) of each label in every mean; None: all count alike
    """
    if faults := _unfit(target, champion, candidate, groups, rules):
        return Verdict(
            promote=False, reasons=faults, changes=(), subgroups=(), coverage=(), rules=rules
        )
    errors = [percentage_error(p.mean, target) for p in (champion, candidate)]
    late = np.zeros(len(target), dtype=np.bool_) if newest is None else newest
    views = {ALL: np.ones(len(target), dtype=np.bool_)} | ({NEWEST: late} if late.any() else {})
    labels = _Labels(groups, np.ones(len(target)) if weights is None else weights, rules)
    changes = _changes(errors, views, labels)
    parts = _subgroup_changes(errors, {**subgroups, WORST: _badly_wrong(errors)}, labels)
    covered = _coverage(target, champion, candidate, labels)
    against = [
        *_not_better(changes, rules),
        *_worse(parts, rules),
        *_not_calibrated(covered, rules),
    ]
    return Verdict(
        promote=not against,
        reasons=tuple(against or _in_favour(changes, parts, covered)),
        changes=changes,
        subgroups=parts,
        coverage=covered,
        rules=rules,
    )


@dataclass(frozen=True, slots=True)
class _Labels:
    """How the labels are drawn: groups and weights (n,)."""

    groups: NDArray[np.str_]
    weights: Array
    rules: Rules

    def resampled(self, values: Array, known: Mask | None = None) -> Resampled:
        """Means of values (n, k), where they are known."""
        weights = self.weights[:, None] * (np.ones_like(values) if known is None else known)
        return resample(values, weights, self.groups, self.rules.draws, self.rules.seed)

    def log_ratio(self, errors: list[Array], views: Mapping[str, Mask]) -> Resampled:
        """Of candidate's error by champion's, in each view."""
        champion, candidate = (np.maximum(e, SMALLEST_PERCENT) for e in errors)
        ratio = np.log(candidate / champion)
        return self.resampled(
            np.repeat(ratio[:, None], len(views), 1), np.stack(list(views.values()), axis=1)
        )


def _unfit(
    target: Array,
    champion: Prediction,
    candidate: Prediction,
    groups: NDArray[np.str_],
    rules: Rules,
) -> tuple[str, ...]:
    """Why nothing can be compared at all."""
    if not len(target) == len(champion) == len(candidate) == len(groups):
        raise ValueError("labels, both predictions and groups must be of the same number")
    faults = []
    for name, said in (("champion", champion), ("candidate", candidate)):
        whole = np.isfinite(said.mean).all(axis=1) & np.isfinite(said.std).all(axis=1)
        if not whole.all():
            faults.append(f"the {name} gives {int((~whole).sum())} spectra that are not finite")
    if (n := len(np.unique(groups))) < rules.least_groups:
        faults.append(
            f"{n} groups of labels were held out from both: at least {rules.least_groups} are "
            "needed to tell two models apart"
        )
    return tuple(faults)


def _badly_wrong(errors: list[Array]) -> Mask:
    """The worst tenth by the worse of the two: the same labels, whoever is the champion."""
    worst = np.maximum(*errors)
    return np.asarray(worst >= np.quantile(worst, BADLY_WRONG_QUANTILE))


def _changes(errors: list[Array], views: Mapping[str, Mask], labels: _Labels) -> tuple[Change, ...]:
    """Of all and of the newest: two chances to be better, so each needs twice the confidence."""
    found, rules = labels.log_ratio(errors, views), labels.rules
    each = 1.0 - (1.0 - rules.confidence) / len(views)
    low, high = found.interval(2.0 * each - 1.0)  # one side of it is what is asked for
    return tuple(
        _change(name, view, errors, found, i, (low[i], high[i]), rules)
        for i, (name, view) in enumerate(views.items())
    )


def _subgroup_changes(
    errors: list[Array], views: Mapping[str, Mask], labels: _Labels
) -> tuple[Change, ...]:
    """Of subgroups: the intervals hold all at once, however many there are."""
    found, rules = labels.log_ratio(errors, views), labels.rules
    enough = found.n_groups >= rules.least_subgroup
    tested = Resampled(found.mean[enough], found.drawn[:, enough], found.n_groups[enough])
    reach = tested.joint_reach(rules.confidence) * found.standard_error
    low, high = found.mean - reach, found.mean + reach
    return tuple(
        _change(name, view, errors, found, i, (low[i], high[i]), rules)
        for i, (name, view) in enumerate(views.items())
    )


def _change(
    name: str,
    view: Mask,
    errors: list[Array],
    found: Resampled,
    i: int,
    interval: tuple[float, float],
    rules: Rules,
) -> Change:
    enough = bool(found.n_groups[i] >= rules.least_subgroup)
    percent, low, high = (100.0 * float(np.expm1(v)) for v in (found.mean[i], *interval))
    return Change(
        name=name,
        n_labels=int(view.sum()),
        n_groups=int(found.n_groups[i]),
        champion=float(np.median(errors[0][view])) if view.any() else 0.0,
        candidate=float(np.median(errors[1][view])) if view.any() else 0.0,
        percent=percent if enough else None,
        low=low if enough else None,
        high=high if enough else None,
        finding=_finding(low, high, 100.0 * rules.tolerance) if enough else "too few",
    )


def _finding(low: float, high: float, tolerance: float) -> str:
    if high < 0.0:
        return "better"
    return "worse" if low > tolerance else "no difference"


def _coverage(
    target: Array, champion: Prediction, candidate: Prediction, labels: _Labels
) -> tuple[Coverage, ...]:
    """Too narrow is refused. Too wide, on the safe side, is refused only where it is wider than
    what the champion says of the same labels: else whoever reads the bars gains in any case."""
    held = [_held(p, target) for p in (champion, candidate)]
    found, points = labels.resampled(held[1]), labels.rules.coverage_points
    reach = found.joint_reach(labels.rules.confidence) * found.standard_error
    low, high = 100.0 * (found.mean - reach), 100.0 * (found.mean + reach)
    width = _width(champion, candidate, labels.weights)
    return tuple(
        Coverage(
            level=100.0 * level,
            champion=100.0 * float(np.average(held[0][:, i], weights=labels.weights)),
            candidate=100.0 * float(found.mean[i]),
            low=float(low[i]),
            high=float(high[i]),
            width=float(width[i]),
            kept=bool(
                high[i] >= 100.0 * level - points
                and (low[i] <= 100.0 * level + points or width[i] <= 1.0)
            ),
        )
        for i, level in enumerate(LEVELS.values())
    )


def _width(champion: Prediction, candidate: Prediction, weights: Array) -> Array:
    """How wide the candidate's intervals are by the champion's, (n_levels,): geometric mean over
    labels of the ratio of their means over energy."""
    bars = [np.maximum(p.std.mean(axis=1), SMALLEST_BAR) for p in (champion, candidate)]
    ratio = np.exp(np.average(np.log(bars[1] / bars[0]), weights=weights))
    return np.array([ratio * candidate.reach[k] / champion.reach[k] for k in LEVELS])


def _held(said: Prediction, target: Array) -> Array:
    """The part of each label's points that lie in each interval, (n, n_levels)."""
    away = np.abs(target - said.mean)
    return np.stack([(away <= said.reach[k] * said.std).mean(axis=1) for k in LEVELS], axis=1)


# -- in words -------------------------------------------------------------------------------------


def _not_better(changes: tuple[Change, ...], rules: Rules) -> list[str]:
    sure = f"{100 * rules.confidence:g} % sure"
    worse = [
        f"worse on {c.name} ({c.n_labels} in {c.n_groups} groups): {_words(c)}"
        for c in changes
        if c.finding == "worse"
    ]
    if worse or any(c.finding == "better" for c in changes):
        return worse
    told = "; ".join(f"on {c.name} ({c.n_labels}) {_words(c)}" for c in changes)
    return [f"not better, as far as we can be {sure}: {told}"]


def _worse(parts: tuple[Change, ...], rules: Rules) -> list[str]:
    return [
        f"worse on {c.name} ({c.n_labels} labels in {c.n_groups} groups): {_words(c)}; at most "
        f"{100 * rules.tolerance:g} % is allowed"
        for c in parts
        if c.finding == "worse"
    ]


def _not_calibrated(covered: tuple[Coverage, ...], rules: Rules) -> list[str]:
    return [
        f"its {c.level:.0f} % intervals hold {c.candidate:.1f} % of the points ({c.low:.1f} to "
        f"{c.high:.1f}), not {c.level:.0f} +- {rules.coverage_points:g}{_and_wider(c)}"
        for c in covered
        if not c.kept
    ]


def _and_wider(c: Coverage) -> str:
    if c.candidate < c.level:
        return ""
    return f", and are {100.0 * (c.width - 1.0):.1f} % wider than the champion's"


def _in_favour(
    changes: tuple[Change, ...], parts: tuple[Change, ...], covered: tuple[Coverage, ...]
) -> list[str]:
    n_tested = sum(c.finding != "too few" for c in parts)
    levels = ", ".join(f"{c.level:.0f}" for c in covered)
    held = ", ".join(f"{c.candidate:.1f}" for c in covered)
    widths = ", ".join(f"{c.width:.2f}" for c in covered)
    return [
        *(
            f"{c.finding} on {c.name} ({c.n_labels} in {c.n_groups} groups): {_words(c)}"
            for c in changes
        ),
        f"not worse on any of {n_tested} subgroups",
        f"its {levels} % intervals hold {held} % of the points; they are {widths} as wide as the "
        "champion's",
    ]


def _words(c: Change) -> str:
    if c.percent is None or c.low is None or c.high is None:
        return f"{c.n_groups} groups are too few to say"
    size = "smaller" if c.percent < 0.0 else "larger"
    return f"errors {abs(c.percent):.1f} % {size} ({c.low:+.1f} to {c.high:+.1f} %)"
