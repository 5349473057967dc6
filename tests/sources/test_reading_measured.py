"""Measured spectra: XDI and plain columns."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from stream.sources.measured import read_measured
from stream.sources.xdi import HC_EV_ANGSTROM
from xas.errors import BadSpectrum

ENERGY = np.linspace(7000.0, 7300.0, 61)
MU = 0.5 + 1.0 / (1.0 + np.exp(-(ENERGY - 7120.0)))


def xdi(columns: str, *values, fields: str = "") -> str:
    names = "".join(f"# Column.{k}: {name}\n" for k, name in enumerate(columns.split(","), 1))
    rows = "\n".join(" ".join(f"{x:.9g}" for x in row) for row in np.column_stack(values))
    head = "# Element.symbol: Fe\n# Element.edge: K\n# Sample.name: a  made one\n"
    return f"# XDI/1.0 test\n{names}{head}{fields}# ///\n# a remark. with: a colon\n#---\n{rows}\n"


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("energy eV,mutrans", (ENERGY, MU)),
        ("energy keV,mufluor", (ENERGY / 1000, MU)),
        ("energy eV,i0,itrans", (ENERGY, 1e5 + ENERGY, (1e5 + ENERGY) * np.exp(-MU))),
        ("energy eV || 13:E.VAL,itrans,i0", (ENERGY, 1e5 * np.exp(-MU), np.full(61, 1e5))),
        ("energy eV,i0,ifluor", (ENERGY, np.full(61, 1e5), 1e5 * MU)),
        ("energy eV,mutrans,mufluor", (ENERGY, MU, -MU)),
    ],
)
def test_every_way_of_detection_gives_the_absorption(tmp_path, columns, values):
    path = tmp_path / "a.xdi"
    path.write_text(xdi(columns, *values))
    spectrum = read_measured(path)
    np.testing.assert_allclose(spectrum.energy_ev, ENERGY, rtol=1e-8)
    np.testing.assert_allclose(spectrum.mu, MU, rtol=1e-6)
    assert (spectrum.element, spectrum.edge, spectrum.name) == ("Fe", "K", "a made one")


def test_an_angle_becomes_an_energy_by_braggs_law(tmp_path):
    angle = np.degrees(np.arcsin(HC_EV_ANGSTROM / (2 * 3.1355 * ENERGY)))
    path = tmp_path / "a.xdi"
    path.write_text(xdi("angle degrees,mutrans", angle, MU, fields="# Mono.d_spacing: 3.1355\n"))
    np.testing.assert_allclose(read_measured(path).energy_ev, ENERGY, rtol=1e-6)


def test_points_are_sorted_averaged_and_cleaned(tmp_path):
    energy = np.concatenate([ENERGY[::-1], [7000.0, 7001.0]])
    mu = np.concatenate([MU[::-1], [MU[0] + 2.0, np.nan]])
    path = tmp_path / "a.xdi"
    path.write_text(xdi("energy eV,mutrans", energy, mu))
    spectrum = read_measured(path)
    np.testing.assert_allclose(spectrum.energy_ev, ENERGY)
    assert spectrum.mu[0] == pytest.approx(MU[0] + 1.0)


@pytest.mark.parametrize("head", ["", "energy,mu\n", "# energy mu\n", "% x\n\n"])
def test_plain_columns_are_read(tmp_path, head):
    separator = "," if "," in head else " "
    rows = "\n".join(f"{e:.3f}{separator}{m:.6f}" for e, m in zip(ENERGY, MU, strict=True))
    path = tmp_path / "iron.csv"
    path.write_text(head + rows)
    spectrum = read_measured(path)
    np.testing.assert_allclose(spectrum.mu, MU, atol=1e-6)
    assert (spectrum.element, spectrum.edge, spectrum.name) == (None, None, "iron")


def test_plain_energies_below_200_are_kev_and_gzip_is_unpacked(tmp_path):
    path = tmp_path / "iron.dat.gz"
    rows = "\n".join(f"{e / 1000:.6f}\t{m:.6f}" for e, m in zip(ENERGY, MU, strict=True))
    path.write_bytes(gzip.compress(rows.encode()))
    np.testing.assert_allclose(read_measured(path).energy_ev, ENERGY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no numbers"),
        ("just words\n", "no numbers"),
        ("7000 1\n7001\n", "rows of 1 to 2 numbers"),
        ("7000 1\nmore words here\n", "line 2 is not a row of numbers"),
        ("7000 1\n7001 2\n", "only 2 usable points"),
        (xdi("energy eV,mutrans", ENERGY, np.ones(61)), "the absorption is constant"),
        (xdi("energy eV,i0", ENERGY, MU), "no absorption"),
        (xdi("energy hartree,mutrans", ENERGY, MU), "give eV or keV"),
        (xdi("angle degrees,mutrans", ENERGY / 400, MU), "needs Mono.d_spacing"),
        (xdi("time s,mutrans", ENERGY, MU), "no column energy or angle"),
        (xdi("energy eV,i0,itrans", ENERGY, MU, -MU), "only 0 usable points"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(tmp_path, content, reason):
    path = tmp_path / "bad.xdi"
    path.write_text(content)
    with pytest.raises(BadSpectrum, match=reason) as caught:
        read_measured(path)
    assert str(path) in str(caught.value)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(BadSpectrum, match="no such file"):
        read_measured(tmp_path / "absent.xdi")


@pytest.mark.data
def test_every_file_of_the_corpus_is_read(data_dir):
    paths = sorted((data_dir / "xdi").glob("*.xdi"))
    spectra = [read_measured(path) for path in paths]
    assert len(spectra) == 137
    assert all(spectrum.element and spectrum.edge for spectrum in spectra)
    assert all((np.diff(spectrum.energy_ev) > 0).all() for spectrum in spectra)
    assert min(len(spectrum.mu) for spectrum in spectra) >= 100
