"""What the commands print that change or compare models."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edgestream.tables import print_table
from model_store.comparison import Answers, Comparison, Difference, Judgement
from model_store.garbage import Garbage
from model_store.history import Entry
from model_store.verification import Finding
from stream.shadows import ShadowDifference

MAX_VALUE = 60


def say_put(name: str, version: int, champion: int) -> None:
    """``models put``: what is there now, and what did not change."""
    _say(f"stored as {name}@{version}")
    if champion != version:
        _say(
            f"{name}@{champion} stays the champion; to change it: "
            f"edgestream models promote {name}@{version}"
        )


def say_moved(entry: Entry, name: str, alias: str, version: int | None) -> None:
    """``promote``, ``rollback``, ``retire``: one line."""
    if entry.alias != alias or entry.after != version or entry.before == entry.after:
        _say(f"{name}@{alias} stands for {_version(version)}")
    else:
        _say(f"{name}@{alias}: {_version(entry.before)} -> {_version(entry.after)}")


def print_history(name: str, entries: Sequence[Entry]) -> None:
    """``models history``."""
    if not entries:
        _say(f"{name}: no alias was ever moved; its highest version is the champion")
        return
    rows = [
        [
            str(e.number),
            e.when.replace("T", " "),
            e.who or "-",
            e.action,
            e.alias or "-",
            f"{_version(e.before)} -> {_version(e.after)}" if e.alias else "-",
            e.why or "-",
        ]
        for e in entries
    ]
    print_table(["", "when (UTC)", "who", "what", "alias", "from -> to", "why"], rows)


def print_findings(findings: Sequence[Finding]) -> None:
    """``models verify``."""
    print_table(
        ["what", "is"], [[finding.subject, finding.fault or "good"] for finding in findings]
    )


def print_garbage(found: Sequence[Garbage], *, deleted: bool) -> None:
    """``models gc``."""
    rows = [[f"{g.name}@{v}", "old, nothing names it"] for g in found for v in g.versions]
    rows += [
        [f"{g.name}/{left}", "left by an interrupted copy"] for g in found for left in g.leftovers
    ]
    if not rows:
        _say("nothing to remove")
        return
    print_table(["removed" if deleted else "would be removed", "why"], rows)
    if not deleted:
        _say("nothing was removed; --delete does it")


def print_comparison(found: Comparison) -> None:
    """``models diff``: a table for each kind of difference that there is."""
    same = ", the same network" if found.same_network else ""
    _say(f"a = {found.a}, b = {found.b}{same}")
    for title, differences in (
        ("features", found.features),
        ("output", found.output),
        ("manifest", found.manifest),
    ):
        if differences:
            print_table([title, "a", "b"], [_difference(d) for d in differences])
        else:
            _say(f"{title}: the same")
    if found.measures:
        columns = ["measures, spectra", "error %: a", "b", "quartiles: a", "b", "peaks eV: a", "b"]
        print_table(columns, [_judgement(j) for j in found.measures])
    if found.incomparable:
        _say(f"predictions: not compared, {found.incomparable}")
        return
    columns = ["predictions on the check input of", "sites", "median |a-b| %", "largest"]
    columns += ["at eV", "|a-b| / sd of a", "novelty a", "b"]
    print_table(columns, [_answers(answers) for answers in found.answers])


def print_shadows(name: str, found: Sequence[ShadowDifference]) -> None:
    """``models shadow``."""
    if not found:
        _say(
            f"{name}: nothing was compared; a shadow is set with: "
            f"edgestream models promote {name}@VERSION --as shadow"
        )
        return
    rows = [
        [
            each.run or "(others)",
            each.served,
            each.shadow,
            str(each.frames),
            str(each.sites),
            "-" if each.median_percent is None else f"{each.median_percent:.2g}",
            "-" if each.max_percent is None else f"{each.max_percent:.2g}",
            str(each.skipped),
            str(each.failed),
        ]
        for each in found
    ]
    columns = ["run", "served by", "shadow", "frames", "sites", "median %", "largest %"]
    print_table([*columns, "skipped", "failed"], rows)


def _difference(difference: Difference) -> list[str]:
    return [difference.key, _short(difference.a), _short(difference.b)]


def _judgement(row: Judgement) -> list[str]:
    both = (row.a, row.b)
    label = f"{row.model}: {row.split}" + (", broadened" if row.broadened else "")
    medians = [f"{m.percent.median:.2f}" if m else "-" for m in both]
    quartiles = [
        f"{m.percent.lower_quartile:.1f}-{m.percent.upper_quartile:.1f}" if m else "-" for m in both
    ]
    peaks = [m.peaks.mean_ev if m and m.peaks else None for m in both]
    return [label, *medians, *quartiles, *("-" if p is None else f"{p:.2f}" for p in peaks)]


def _answers(answers: Answers) -> list[str]:
    return [
        answers.check_input,
        str(answers.n_sites),
        f"{answers.distance_percent:.2f}",
        f"{answers.largest:.3g}",
        f"{answers.energy_ev:.1f}",
        f"{answers.in_deviations:.2f}",
        f"{answers.novelty_a:.2f}",
        f"{answers.novelty_b:.2f}",
    ]


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 3]}..."


def _version(version: int | None) -> str:
    return "nothing" if version is None else str(version)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
