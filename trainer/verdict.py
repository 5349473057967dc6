"""What the gate decides by, and what it decided: plain data for a report."""

from __future__ import annotations

from msgspec import Struct


class Rules(Struct, frozen=True, kw_only=True):
    """Of the gate; the defaults are those of docs/gate.md.

    confidence       of every statement; where several are made at once, of all of them together
    tolerance        a subgroup may become worse by this part of its error
    coverage_points  an interval may hold so many percentage points less than it says; more than
                     these only where it is no wider than the champion's
    least_groups     of held-out labels, to decide at all
    least_subgroup   groups in a subgroup, to say something about it
    draws            of the bootstrap
    seed             of the bootstrap: the same input gives the same verdict
    """

    confidence: float = 0.95
    tolerance: float = 0.01
    coverage_points: float = 2.0
    least_groups: int = 20
    least_subgroup: int = 8
    draws: int = 2000
    seed: int = 2022


RULES = Rules()


class Change(Struct, frozen=True, kw_only=True):
    """How the errors of one set of labels change from champion to candidate.

    champion, candidate  median over labels of 100 sum|predicted - target| / sum(target)
    percent              geometric mean over labels of candidate's by champion's error, as a
                         change: -6: errors are 6 % smaller; None: too few groups to say
    low, high            where it lies with the confidence of the rules
    finding              "better", "worse", "no difference" or "too few"
    """

    name: str
    n_labels: int
    n_groups: int
    champion: float
    candidate: float
    percent: float | None
    low: float | None
    high: float | None
    finding: str


class Coverage(Struct, frozen=True, kw_only=True):
    """The part of all points within the interval of a level, percent; low, high: the candidate's
    with the confidence of the rules; width: of its intervals, by the champion's."""

    level: float
    champion: float
    candidate: float
    low: float
    high: float
    width: float
    kept: bool


class Verdict(Struct, frozen=True, kw_only=True):
    """``reasons``: in plain words; what speaks against first. ``changes``: all, then newest."""

    promote: bool
    reasons: tuple[str, ...]
    changes: tuple[Change, ...]
    subgroups: tuple[Change, ...]
    coverage: tuple[Coverage, ...]
    rules: Rules
