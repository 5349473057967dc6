"""Measured spectra, from XDI files and from plain columns."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.sources.bytes_in import open_unpacked
from stream.sources.xdi import absorption_of, energy_of, is_xdi, parse_xdi
from xas.errors import BadSpectrum

MIN_POINTS = 20
MAX_BYTES = 64 << 20
_COMMENTS = ("#", ";", "%", "!")
_KEV_BELOW = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSpectrum:
    """One absorption spectrum as it was measured.

    energy_ev  (n,) float64, eV, strictly rising
    mu         (n,) float64, absorption on an arbitrary scale, finite
    element    symbol, e.g. Fe; None where the file does not say
    edge       K, L3, ...; None where the file does not say
    name       the sample's, else the file's
    """

    energy_ev: NDArray[np.float64]
    mu: NDArray[np.float64]
    element: str | None
    edge: str | None
    name: str


def read_measured(path: str | Path) -> MeasuredSpectrum:
    """Read XDI, or columns of energy (eV; below 200: keV) and absorption; plain or gzipped.

    Points that are not finite are left out, double energies averaged. BadSpectrum says why a file
    is refused.
    """
    path = Path(path)
    text = _text(path)
    try:
        table = _table(text)
        if is_xdi(text):
            xdi = parse_xdi(text, table)
            fields = xdi.fields
            energy, mu = energy_of(xdi), absorption_of(xdi)
        else:
            fields = {}
            energy, mu = _plain(table)
        energy, mu = _clean(energy, mu)
    except BadSpectrum as error:
        raise BadSpectrum(f"{path}: {error}") from None
    return MeasuredSpectrum(
        energy_ev=energy,
        mu=mu,
        element=fields.get("element.symbol", "").capitalize() or None,
        edge=fields.get("element.edge", "").upper() or None,
        name=" ".join(fields.get("sample.name", "").split()) or path.stem,
    )


def _text(path: Path) -> str:
    try:
        with open_unpacked(path) as file:
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise BadSpectrum(f"no such file: {path}") from None
    except IsADirectoryError:
        raise BadSpectrum(f"{path} is a folder; give a file") from None
    except (OSError, EOFError, LZMAError, zlib.error) as error:
        raise BadSpectrum(f"{path}: cannot be read ({error})") from None
    if b"\0" in content:
        raise BadSpectrum(
            f"{path} is no text; give an XDI file or columns of energy and absorption"
        )
    return content.decode("utf-8", errors="replace")


def _table(text: str) -> NDArray[np.float64]:
    """Return the numbers below the header, (n, n_columns); one line of names is skipped."""
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith(_COMMENTS):
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            if rows:
                raise BadSpectrum(f"line {number} is not a row of numbers: '{line[:40]}'") from None
    if not rows:
        raise BadSpectrum("no numbers; give an XDI file or columns of energy and absorption")
    widths = {len(row) for row in rows}
    if len(widths) > 1 or min(widths) < 2:
        raise BadSpectrum(f"rows of {min(widths)} to {max(widths)} numbers; all must have as many")
    return np.array(rows)


def _plain(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    energy = table[:, 0]
    in_kev = np.nanmax(energy, initial=0.0) < _KEV_BELOW
    return energy * (1000.0 if in_kev else 1.0), table[:, 1]


def _clean(
    energy: NDArray[np.float64], mu: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    good = np.isfinite(energy) & np.isfinite(mu) & (energy > 0)
    energies, place, counts = np.unique(energy[good], return_inverse=True, return_counts=True)
    if len(energies) < MIN_POINTS:
        raise BadSpectrum(f"only {len(energies)} usable points; at least {MIN_POINTS} are needed")
    means = np.bincount(place.ravel(), weights=mu[good]) / counts
    if np.ptp(means) == 0:
        raise BadSpectrum("the absorption is constant")
    return energies, means
