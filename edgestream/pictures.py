"""Pictures of what the commands made: files and results in, ``plots`` does the drawing."""

from __future__ import annotations

from pathlib import Path

from edgestream import plots
from edgestream.match import Match
from edgestream.prediction import Spectra, open_run

MAX_ROWS = 2000


def draw_run(file: Path, picture: Path) -> None:
    """Average with its band, and the waterfall, from a result file."""
    with open_run(file) as run:
        part = slice(None, None, max(1, -(-len(run) // MAX_ROWS)))
        average = run.average
        plots.plot_run(
            run.energy,
            average.intensity,
            average.errors,
            average.spread,
            run.intensity[part],
            run.times[part],
            picture,
            title=run.header.title,
        )


def draw_spectra(spectra: Spectra, picture: Path) -> None:
    """Predicted spectra with their bands."""
    labels = [f"{s}: atom {a}" for s, a in zip(spectra.structure, spectra.atom, strict=True)]
    plots.plot_predictions(spectra.energy, spectra.intensity, spectra.known_errors, labels, picture)


def draw_match(found: Match, picture: Path) -> None:
    """Measured against predicted."""
    plots.plot_match(found, picture)
