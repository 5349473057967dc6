"""What ``edgestream models`` prints: which models there are, how good, trained on what."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from edgestream.tables import print_table
from model_store.manifest import Manifest, Measures, Origin, PeakErrors, Training
from xas.errors import Reject

WIDTH = 100
INDENT = 13


def print_models(manifests: Sequence[Manifest], aliases: dict[str, dict[str, int]]) -> None:
    """``models list``: a line a model; the error is that of its own held-out spectra."""
    rows = []
    for m in manifests:
        own = next((q for q in m.quality if q.model == m.name and not q.broadened), None)
        rows.append(
            [
                m.reference,
                ", ".join(a for a, version in aliases[m.name].items() if version == m.version),
                f"{m.element} {m.edge}",
                f"{m.output.energy_ev[0]:.0f}-{m.output.energy_ev[-1]:.0f}",
                str(m.members),
                f"{own.percent.median:.1f}" if own else "-",
                *_trained_on(m),
            ]
        )
    print_table(
        [
            "model",
            "alias",
            "edge",
            "energies / eV",
            "members",
            "median error / %",
            "labels",
            "trained on",
        ],
        rows,
    )


def print_model(manifest: Manifest) -> None:
    """``models show``: paragraphs of the terminal's width, then the table of measures."""
    energies = manifest.output.energy_ev
    paragraphs = {
        "edge": f"{manifest.element} {manifest.edge}",
        "energies": f"{len(energies)} points, {energies[0]:.2f} to {energies[-1]:.2f} eV",
        "network": f"{manifest.members} members, {manifest.descriptor.n_features} features",
        **_training(manifest.training),
        **_origin(manifest.origin),
        **_evidence(manifest),
    }
    coverage = next((q.coverage for q in manifest.quality if q.coverage), {})
    if coverage:
        covered = (f"{k} %: {100 * v:.1f} %" for k, v in coverage.items())
        paragraphs["coverage"] = "points in the interval that should hold " + ", ".join(covered)
    _say(f"{manifest.reference}: {manifest.summary}")
    for name, text in paragraphs.items():
        _say(_paragraph(name, text))
    if not manifest.quality:
        _say(_paragraph("quality", "unknown: no measure of it is written down"))
        return
    print_table(MEASURES, measures_rows(manifest))
    for mark, words in _splits(manifest).items():
        _say(_paragraph(mark, words))


def _trained_on(m: Manifest) -> tuple[str, str]:
    if m.training is not None:
        return str(m.training.data.n_labels), m.training.data.file
    return "-", f"unknown, from {m.origin.program}" if m.origin else "unknown"


def _training(t: Training | None) -> dict[str, str]:
    if t is None:
        return {}
    return {
        "trained": f"{t.date}, seed {t.seed}, {t.duration_s:.0f} s: {t.command}",
        "data": f"{t.data.file}: {t.data.n_labels} labels in {t.data.n_groups} groups, "
        f"sha256 {t.data.sha256[:16]}",
        "source": f"{t.data.source} ({t.data.licence})",
        "cite": t.data.citation,
    }


def _origin(o: Origin | None) -> dict[str, str]:
    if o is None:
        return {}
    files = ", ".join(f"{name} (sha256 {digest[:16]})" for name, digest in o.files.items())
    told = {"source": o.source, "licence": o.licence, "cite": o.citation}
    same = "" if o.difference is None else f"; {o.difference:.1e} off the original's own answer"
    return {
        "imported": f"{o.date} from {o.program}: {o.command}",
        "files": files + same,
        **{key: text for key, text in told.items() if text},
    }


def _evidence(manifest: Manifest) -> dict[str, str]:
    """What the errors and the novelty are worth."""
    output, calibration = manifest.output, manifest.calibration
    words = (
        {}
        if calibration is None
        else {"calibration": f"{calibration.method} ({calibration.split})"}
    )
    if output.errors == "uncalibrated":
        words["errors"] = "the spread of the model's members as it is, not calibrated"
    if output.errors == "none":
        words["errors"] = "none: the model does not say how uncertain it is (0 in result files)"
    if output.novelty == "uncalibrated":
        words["novelty"] = "on the model's own scale: 1 has no meaning"
    if output.novelty == "none":
        words["novelty"] = "none: the model does not know its training data (0 in result files)"
    return words


def print_measures_markdown(manifest: Manifest) -> None:
    """The table of measures with its legend, for a document."""
    rows = [MEASURES, ["---"] + ["---:"] * (len(MEASURES) - 1), *measures_rows(manifest)]
    _say("\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n")
    _say("\n".join(f"- {mark}: {words}" for mark, words in _splits(manifest).items()))


def print_coverage(manifest: Manifest) -> None:
    """``models show --calibration``: how often intervals hold, by energy and by novelty."""
    found = manifest.calibration
    if found is None or not found.coverage:
        raise Reject(f"{manifest.reference} does not say how often its intervals hold")
    figures = {level: found.figures.get(f"interval_{level}") for level in found.coverage[0].held}
    reach = (f"{level} %: {_number(sigmas, 2)} sigma" for level, sigmas in figures.items())
    _say(f"{manifest.reference}: points inside the intervals, of spectra held out")
    _say(_paragraph("interval", ", ".join(reach) + " to either side"))
    _say(_paragraph("spectra", found.split))
    header = ["points", "spectra", *[f"in the {level} %" for level in figures]]
    rows = [
        [c.where, str(c.n_spectra), *[f"{100 * held:.1f}" for held in c.held.values()]]
        for c in found.coverage
    ]
    print_table(header, rows)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _paragraph(name: str, text: str) -> str:
    width = max(60, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
    first = f"{name:<{INDENT}}"
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * INDENT)


# -- the table of measures ----------------------------------------------------------------------

MEASURES = (
    "model, spectra",
    "n",
    "error %",
    "quartiles",
    "skew",
    "peaks eV",
    "max",
    "std",
    "R2",
    "hits %",
)


def _splits(manifest: Manifest) -> dict[str, str]:
    """Which spectra a row is about, and the columns, in words."""
    marks = {f"[{mark}]": who for who, mark in _marks(manifest).items()}
    return marks | {
        "columns": "n spectra; error: median over spectra of 100 sum|predicted - target| / "
        "sum(target), with its quartiles and skewness; peaks: mean, maximum and standard "
        "deviation of how far prominent peaks lie from where they belong, R2 of their positions, "
        "and the share that was found; *: both broadened by the arctangent of the paper."
    }


def _marks(manifest: Manifest) -> dict[str, str]:
    names = dict.fromkeys(_who(q) for q in manifest.quality)
    return {who: "abcdefghijklmnopqrstuvwxyz"[i % 26] for i, who in enumerate(names)}


def _who(q: Measures) -> str:
    return f"{q.model}: {q.split}"


def measures_rows(manifest: Manifest) -> list[list[str]]:
    """The rows of the table of measures; the marks are those of the legend."""
    marks = _marks(manifest)
    return [_measures_row(q, marks[_who(q)]) for q in manifest.quality]


def _measures_row(q: Measures, mark: str) -> list[str]:
    p = q.percent
    return [
        f"{q.model.partition(' (')[0]} [{mark}]" + ("*" if q.broadened else ""),
        str(q.n_spectra or "-"),
        f"{p.median:.1f}",
        f"{p.lower_quartile:.1f}-{p.upper_quartile:.1f}",
        _number(p.skewness, 1),
        *_peaks(q.peaks),
    ]


def _peaks(peaks: PeakErrors | None) -> list[str]:
    if peaks is None:
        return ["-"] * 5
    hits = None if peaks.hit_rate is None else 100.0 * peaks.hit_rate
    return [
        _number(peaks.mean_ev, 2),
        _number(peaks.max_ev, 2),
        _number(peaks.std_ev, 2),
        _number(peaks.r2, 4),
        _number(hits, 1),
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
