"""The XAS Data Interchange format: named header fields, named columns.

Ravel and Newville, J. Phys. Conf. Ser. 712, 012148 (2016); dictionary of names:
https://github.com/XraySpectroscopy/XAS-Data-Interchange.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas.errors import BadSpectrum

HC_EV_ANGSTROM = 12398.419843320026  # CODATA 2018, exact
_FIELD = re.compile(r"[#;\s]*([A-Za-z_]+)\.([\w\-]+)\s*:\s*(.*)")


@dataclass(frozen=True, slots=True)
class Column:
    """A column's lower-case name, unit (lower case, empty where not given), and values (n,)."""

    name: str
    unit: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class XdiFile:
    """Header fields by lower-case `family.member`, and columns in their order."""

    fields: dict[str, str]
    columns: tuple[Column, ...]

    def column(self, *names: str) -> Column | None:
        """Return the first of these columns that is there."""
        for name in names:
            for column in self.columns:
                if column.name == name:
                    return column
        return None


def is_xdi(text: str) -> bool:
    """Whether a text begins as XDI does."""
    return re.match(r"[#;\s]*XDI/\d", text) is not None


def parse_xdi(text: str, table: NDArray[np.float64]) -> XdiFile:
    """Read the header; `table` holds the numbers below it, (n, n_columns)."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if line.lstrip().startswith("# ///") or not line.lstrip().startswith(("#", ";")):
            if fields:
                break
            continue
        found = _FIELD.match(line)
        if found is not None:
            # Programs of beamlines append the name of a process variable behind ||.
            value = found[3].partition("||")[0].strip()
            fields.setdefault(f"{found[1]}.{found[2]}".lower(), value)
    columns = [_column(fields, k, table[:, k]) for k in range(table.shape[1])]
    return XdiFile(fields, tuple(columns))


def _column(fields: dict[str, str], number: int, values: NDArray[np.float64]) -> Column:
    words = fields.get(f"column.{number + 1}", "").split()
    unit = words[1].lower() if len(words) > 1 else ""
    return Column(words[0].lower() if words else "", unit, values)


def energy_of(xdi: XdiFile) -> NDArray[np.float64]:
    """Return energies in eV, from energy or from the monochromator's angle by Bragg's law."""
    energy = xdi.column("energy")
    if energy is not None:
        return energy.values * _energy_factor(energy.unit)
    angle = xdi.column("angle")
    if angle is None:
        raise BadSpectrum("no column energy or angle")
    spacing = _number(xdi.fields.get("mono.d_spacing", ""))
    if spacing is None or spacing <= 0:
        raise BadSpectrum("a column angle needs Mono.d_spacing")
    factor = {"radians": 1.0, "radian": 1.0, "rad": 1.0}.get(angle.unit, np.pi / 180.0)
    with np.errstate(divide="ignore"):
        return HC_EV_ANGSTROM / (2.0 * spacing * np.sin(angle.values * factor))


def absorption_of(xdi: XdiFile) -> NDArray[np.float64]:
    """Return the absorption, arbitrary scale: given, or from the detectors' intensities."""
    given = xdi.column("mutrans", "mufluor", "mu", "normtrans", "normfluor", "norm", "xmu")
    if given is not None:
        return given.values
    incident = xdi.column("i0")
    transmitted, fluorescence = xdi.column("itrans", "i1"), xdi.column("ifluor")
    with np.errstate(divide="ignore", invalid="ignore"):
        if incident is not None and transmitted is not None:
            return -np.log(transmitted.values / incident.values)
        if incident is not None and fluorescence is not None:
            return fluorescence.values / incident.values
    names = ", ".join(column.name or "unnamed" for column in xdi.columns)
    raise BadSpectrum(
        f"no absorption: needs mutrans, mufluor, or i0 with itrans or ifluor ({names})"
    )


def _energy_factor(unit: str) -> float:
    factors = {"": 1.0, "ev": 1.0, "kev": 1000.0}
    if unit not in factors:
        raise BadSpectrum(f"energies in {unit}; give eV or keV")
    return factors[unit]


def _number(text: str) -> float | None:
    words = text.split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None
