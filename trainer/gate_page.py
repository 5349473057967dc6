"""The written report of a judgement: ``judgement.json`` and ``judgement.html``, one page, whole.

The page holds everything that it shows: no script, no font, no address elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

import msgspec

from trainer import gate_plots
from trainer.judgement import Judgement, Quality, Trial
from trainer.verdict import Change
from xas.errors import StorageFailed

JSON, PAGE = "judgement.json", "judgement.html"

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#222}table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%;height:auto}h1 b{border:2px solid;padding:0 .4rem}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(judgement: Judgement, trial: Trial, folder: Path) -> str:
    """Write both files into the folder, each whole or not at all; the SHA-256 of the JSON, by which
    a history names it. Raises StorageFailed."""
    data = encode(judgement)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / JSON, data)
        _write(folder / PAGE, page(judgement, trial).encode())
    except OSError as error:
        raise StorageFailed(f"{folder}: the report cannot be written ({error})") from None
    return hashlib.sha256(data).hexdigest()


def encode(judgement: Judgement) -> bytes:
    """The JSON of a judgement, for reading."""
    return msgspec.json.format(msgspec.json.encode(judgement), indent=1) + b"\n"


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def page(judgement: Judgement, trial: Trial) -> str:
    """The page, as text."""
    verdict = judgement.verdict
    said = "promote" if verdict.promote else "refuse"
    names = f"{judgement.candidate.reference} against {judgement.champion.reference}"
    parts = [
        f"<h1>{escape(names)}: <b>{said}</b></h1>",
        "<ul>" + "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons) + "</ul>",
        f"<p>{escape(_about(judgement))}</p>",
        _parties(judgement),
        *(_figures(judgement, trial) if verdict.changes else []),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(names)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _about(j: Judgement) -> str:
    rules = j.verdict.rules
    return (
        f"{j.date}. {j.held_out} of {j.n_labels} labels of {j.labels} (sha256 "
        f"{j.labels_sha256[:16]}), {j.n_newest} of them newest. Held out: {j.how_held_out}. "
        f"Statements are {100 * rules.confidence:g} % sure, by {rules.draws} draws of whole groups "
        f"of labels (seed {rules.seed}); those about subgroups all at once."
    )


def _parties(j: Judgement) -> str:
    rows = [
        [who, p.reference, p.sha256[:16], p.trained_on, *_quality(p.quality)]
        for who, p in (("champion", j.champion), ("candidate", j.candidate))
    ]
    head = ["", "model", "network", "trained on", "error %", "quartiles", "peaks eV", "hits %"]
    return _table(head, rows)


def _quality(q: Quality | None) -> list[str]:
    if q is None:
        return ["-"] * 4
    return [
        f"{q.median:.2f}",
        f"{q.lower_quartile:.2f}-{q.upper_quartile:.2f}",
        "-" if q.peak_mean_ev is None else f"{q.peak_mean_ev:.2f}",
        "-" if q.hit_rate is None else f"{100 * q.hit_rate:.1f}",
    ]


def _figures(j: Judgement, trial: Trial) -> list[str]:
    verdict = j.verdict
    height = 1.2 + 0.24 * len((*verdict.changes, *verdict.subgroups))
    drawn = {
        "Errors": gate_plots.svg((7, 3.2), partial(gate_plots.draw_errors, trial=trial)),
        "Subgroups": gate_plots.svg(
            (8, height), partial(gate_plots.draw_subgroups, verdict=verdict)
        ),
        "Positions of prominent peaks": gate_plots.svg(
            (8, 4), partial(gate_plots.draw_peaks, trial=trial)
        ),
        "Calibration": gate_plots.svg((5, 4.2), partial(gate_plots.draw_calibration, trial=trial)),
        "The candidate's best, median and worst spectrum": gate_plots.svg(
            (10, 3.2), partial(gate_plots.draw_spectra, trial=trial)
        ),
    }
    shown = [
        f"<h2>{escape(title)}</h2>\n{_image(title, picture)}" for title, picture in drawn.items()
    ]
    return [*shown, "<h2>All figures</h2>", _change_table(j), _coverage_table(j)]


def _image(title: str, picture: str) -> str:
    data = base64.b64encode(picture.encode()).decode()
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">'


def _change_table(j: Judgement) -> str:
    head = [
        "labels",
        "n",
        "groups",
        "champion %",
        "candidate %",
        "change %",
        "from",
        "to",
        "finding",
    ]
    return _table(head, [change_row(c) for c in (*j.verdict.changes, *j.verdict.subgroups)])


def change_row(c: Change) -> list[str]:
    """One line of the table of changes."""
    figures = ["-" if v is None else f"{v:+.1f}" for v in (c.percent, c.low, c.high)]
    medians = [f"{c.champion:.2f}", f"{c.candidate:.2f}"]
    return [c.name, str(c.n_labels), str(c.n_groups), *medians, *figures, c.finding]


def _coverage_table(j: Judgement) -> str:
    head = ["interval %", "champion holds", "candidate holds", "from", "to"]
    head += ["width by the champion's", "within the rules"]
    rows = [
        [
            *(f"{v:.1f}" for v in (c.level, c.champion, c.candidate, c.low, c.high)),
            f"{c.width:.2f}",
            "yes" if c.kept else "no",
        ]
        for c in j.verdict.coverage
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(word)}</th>" for word in head)]
    lines += ["".join(f"<td>{escape(word)}</td>" for word in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
