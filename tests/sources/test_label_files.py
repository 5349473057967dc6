"""Labels from files of other programs. The files of FEFF and FDMNES are written here by hand, after
the formats that their user guides describe: no output of either program is at hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from iron_labels import AXES, ENERGY, NUMBERS, spectrum

from stream.labels import Label
from stream.sources.label_files import label_count, read_labels_of_file
from stream.sources.label_options import LabelOptions, NoLabel
from xas.structure import StructureBatch

STRUCTURE = StructureBatch.from_arrays(NUMBERS, AXES * 2.0)


def read(path: Path, **options: Any) -> list[Label | NoLabel]:
    return list(read_labels_of_file(path, LabelOptions(**options)))


def the_label(path: Path, **options: Any) -> Label:
    (found,) = read(path, **options)
    assert isinstance(found, Label), found
    return found


def reason(path: Path, **options: Any) -> str:
    (found,) = read(path, **options)
    assert isinstance(found, NoLabel), found
    return found.reason


FEFF = """ * made by hand
 TITLE   octahedron
 EDGE      K
 S02       1.0
 SCF       4.0  0
 XANES     4.0
 POTENTIALS
 *  ipot  Z  tag
      0   26   Fe
      1   8    O
 ATOMS                  * angstrom
 *   x       y       z      ipot tag  distance
{atoms}
 END
 ignored 1 2 3
"""


def feff(folder: Path, text: str = FEFF, energy: Any = ENERGY) -> Path:
    folder.mkdir(exist_ok=True)
    atoms = "\n".join(
        f"  {x:9.5f} {y:9.5f} {z:9.5f}  {int(i > 0)}  {'O' if i else 'Fe'}  2.0"
        for i, (x, y, z) in enumerate(AXES * 2.0)
    )
    (folder / "feff.inp").write_text(text.replace("{atoms}", atoms))
    rows = [
        f"{e:11.3f} {e - 7112:11.3f} {0.5:8.3f} {m:13.5E} {m:13.5E} {0:13.5E}"
        for e, m in zip(energy, spectrum(), strict=True)
    ]
    head = "# octahedron                   Feff 9.05\n#  omega    e    k    mu    mu0    chi  @#\n"
    (folder / "xmu.dat").write_text(head + "\n".join(rows) + "\n")
    return folder


def test_a_folder_of_feff_is_a_label(tmp_path: Path) -> None:
    label = the_label(feff(tmp_path / "run-1"))
    assert (label.element, label.edge, label.theory) == ("Fe", "K", "FEFF9")
    assert (label.name, label.source) == ("octahedron", "run-1")
    np.testing.assert_allclose(label.structure().positions, AXES * 2.0)
    np.testing.assert_allclose(label.spectrum()[0], ENERGY)
    np.testing.assert_allclose(label.spectrum()[1], spectrum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("      1   8    O\n", "", "potential 1 is not among POTENTIALS"),
        (" ATOMS ", " CIF x.cif ", "has no ATOMS"),
        (" EDGE      K", " HOLE 4 1.0", "not those of the Fe L3 edge"),
        (" EDGE      K", " HOLE 77 1.0", "HOLE 77 is no edge"),
        (" EDGE      K", " RMULTIPLIER 0.1", "angstrom"),
        ("0   26   Fe", "0   27   Co", "but of Fe K"),
        (" END", "  1.0 2.0\n END", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_feff_folder_is_said(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert said in reason(feff(tmp_path, FEFF.replace(old, new)))


def test_a_calculation_of_feff_that_has_not_ended_is_no_label(tmp_path: Path) -> None:
    output = feff(tmp_path) / "xmu.dat"
    output.write_text(output.read_text()[:-50])
    assert "is no row of 4 numbers" in reason(tmp_path)
    output.unlink()
    assert "cannot be read: No such file" in reason(tmp_path)


FDMNES = """! made by hand
 Filout
   xanes        ! a name that looks like a keyword
 Range
  -55. 1.0 5. 1.0 60.
 Radius
   6.0
 Edge
  K
 Green
 Molecule
   2.0  2.0 2.0  90. 90. 90.
{atoms}
 Convolution
 End
 26 9. 9. 9.
"""
HEAD = (
    "   7112.000  26  1  1  9.5222797E-03 -6.2329036E+00  0.0000000E+00  1  1 = E_edge, Z, n_edge\n"
)


def fdmnes(folder: Path, text: str = FDMNES, energy: Any = ENERGY - 7112.0) -> Path:
    folder.mkdir(exist_ok=True)
    atoms = "\n".join(f"  {z} {x} {y} {w}" for z, (x, y, w) in zip(NUMBERS, AXES, strict=True))
    (folder / "in.txt").write_text(text.replace("{atoms}", atoms))
    (folder / "fdmfile.txt").write_text(" 1\n\n in.txt\n")
    rows = "\n".join(f" {e:12.4f} {m:.8E}" for e, m in zip(energy, spectrum(), strict=True))
    (folder / "xanes.txt").write_text(f"{HEAD}    Energy    <xanes>\n{rows}\n")
    (folder / "xanes_conv.txt").write_text(f"    Energy    <xanes>\n{rows}\n")
    return folder


@pytest.mark.parametrize("energy", [ENERGY - 7112.0, ENERGY])  # without and with Energpho
def test_a_folder_of_fdmnes_is_a_label(tmp_path: Path, energy: Any) -> None:
    label = the_label(fdmnes(tmp_path, energy=energy))
    assert (label.element, label.edge, label.theory) == ("Fe", "K", "FDMNES")
    np.testing.assert_allclose(label.structure().positions, AXES * 2.0)
    np.testing.assert_allclose(label.spectrum()[0], ENERGY)
    np.testing.assert_allclose(label.spectrum()[1], spectrum(), rtol=1e-7)


def test_a_spectrum_without_convolution_is_another_theory(tmp_path: Path) -> None:
    (fdmnes(tmp_path) / "xanes_conv.txt").unlink()
    label = the_label(tmp_path)
    assert label.theory == "FDMNES, not convolved"
    np.testing.assert_allclose(label.spectrum()[0], ENERGY)


def test_a_crystal_of_fdmnes_is_periodic_and_kinds_of_atoms_are_counted(tmp_path: Path) -> None:
    text = FDMNES.replace(" Molecule", " Atom\n 26 0\n 8 0\n Crystal").replace(
        "2.0  2.0 2.0", "9 9 9"
    )
    folder = fdmnes(
        tmp_path, text.replace("{atoms}", " 1 0 0 0\n 2 0.2222222 0 0\n 2 0 0.2222222 0")
    )
    label = the_label(folder)
    assert label.structure().numbers.tolist() == [26, 8, 8]
    assert label.structure().positions[1, 0] == pytest.approx(2.0, abs=1e-5)
    assert label.structure().cells is not None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (" Green", " Z_absorber\n 8", "that of 6 atoms"),
        (" Green", " Absorber\n 1 2", "a label has one absorber"),
        (" Green", " Spgroup\n Fm-3m", "give all atoms"),
        (" Molecule", " Film", "give all atoms"),
        ("   2.0  2.0 2.0", "   0.0  2.0 2.0", "no cell"),
        ("   2.0  2.0 2.0  90. 90. 90.", "", "no Crystal or Molecule"),
        ("   xanes ", "   other ", "has it run?"),
        ("  K\n", "  L3\n", "not those of the Fe L3 edge"),
    ],
)
def test_what_is_wrong_with_an_fdmnes_folder_is_said(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert said in reason(fdmnes(tmp_path, FDMNES.replace(old, new)))


def npz(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "numbers": np.array(NUMBERS * 3, dtype=np.uint8),
        "positions": np.concatenate([AXES * k for k in (1.9, 2.0, 2.1)]),
        "offsets": np.array([0, 7, 14, 21]),
        "mu": np.array([spectrum(k) for k in (1.9, 2.0, 2.1)]),
        "energy": ENERGY,
    }
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **arrays)
    return path


def test_an_npz_file_holds_many_labels(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", material=np.array(["x", "y", "z"]), weight=np.array([1.0, 2, 3]))
    found = read(path, theory="FDMNES", source="me")
    assert label_count(path) == 3
    assert [x.group for x in found if isinstance(x, Label)] == ["x", "y", "z"]
    assert [x.weight for x in found if isinstance(x, Label)] == [1.0, 2.0, 3.0]


def test_a_bad_label_of_an_npz_file_costs_no_other(tmp_path: Path) -> None:
    mu = np.array([spectrum(k) for k in (1.9, 2.0, 2.1)])
    mu[1, 3] = np.nan
    first, second, third = read(npz(tmp_path / "a.npz", mu=mu), theory="FDMNES")
    assert isinstance(first, Label)
    assert isinstance(third, Label)
    assert isinstance(second, NoLabel)
    assert second.reason == "its spectrum is not finite"


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({}, {}, "does not say its level of theory: --theory"),
        ({"mu": None}, {"theory": "x"}, "lacks the arrays mu"),
        ({"mu": np.ones((3, 4))}, {"theory": "x"}, "mu has shape"),
        ({"offsets": np.array([0, 7, 9])}, {"theory": "x"}, "offsets must rise"),
        ({"name": np.array(["a"])}, {"theory": "x"}, "name is not one for each"),
        ({"mu": np.array([None] * 3)}, {"theory": "x"}, "not an npz file of plain arrays"),
        ({"energy": np.array(["a"] * 61)}, {"theory": "x"}, "energy has shape"),
        ({"cell": np.eye(3)}, {"theory": "x"}, "a.npz"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_said(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    assert said in reason(npz(tmp_path / "a.npz", **changes), **options)


def test_energies_that_are_relative_are_made_absolute(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", energy=ENERGY - 7112.0)
    assert all(isinstance(x, NoLabel) for x in read(path, theory="FEFF10"))
    found = read(path, theory="FEFF10", energy_offset_ev=7112.0)
    assert all(isinstance(x, Label) for x in found)


def xdi(path: Path) -> Path:
    energy = np.arange(6980.0, 7400.0, 1.0)
    mu = 3.0 - 1e-3 * (energy - 7000) + 0.7 * (0.5 + np.arctan((energy - 7120) / 1.5) / np.pi)
    head = "# XDI/1.0\n# Element.symbol: Fe\n# Element.edge: K\n# Column.1: energy eV\n"
    rows = "\n".join(f"{e} {m}" for e, m in zip(energy, mu, strict=True))
    path.write_text(f"{head}# Column.2: mutrans\n# Sample.name: rust\n# ///\n#---\n{rows}\n")
    return path


def test_a_measured_spectrum_is_normalised_and_needs_a_structure(tmp_path: Path) -> None:
    path = xdi(tmp_path / "rust.xdi")
    assert "has no structure: --structure" in reason(path)
    label = the_label(path, structure=STRUCTURE)
    energy, intensity = label.spectrum()
    assert (label.element, label.theory, label.name) == ("Fe", "measured", "rust")
    assert (energy[0], energy[-1]) == (7013.0, 7311.0)
    assert intensity[:50].mean() == pytest.approx(0.0, abs=0.02)
    assert intensity[-100:].mean() == pytest.approx(1.0, abs=0.05)


def test_a_measured_spectrum_of_another_element_is_refused(tmp_path: Path) -> None:
    nickel = StructureBatch.from_arrays([28, 8], [[0, 0, 0], [2, 0, 0]])
    assert "0 atoms are Fe" in reason(xdi(tmp_path / "rust.xdi"), structure=nickel)


@pytest.mark.skipif(importlib.util.find_spec("larch") is not None, reason="xraylarch is here")
def test_an_athena_project_without_xraylarch_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.prj").write_bytes(b"")
    assert "pip install xraylarch" in reason(tmp_path / "a.prj", structure=STRUCTURE)


def test_what_is_no_file_of_labels_is_said(tmp_path: Path) -> None:
    assert "no such file or folder" in reason(tmp_path / "none")
    assert "no output of FEFF" in reason(tmp_path)
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04")
    assert "not an npz file" in reason(tmp_path / "x.npz")
    (tmp_path / "x.bin").write_bytes(bytes(range(256)))
    assert "x.bin" in reason(tmp_path / "x.bin")


@pytest.mark.data
def test_measured_spectra_are_labels_or_say_why(data_dir: Path) -> None:
    found = sorted((data_dir / "xdi").glob("Fe*_rt_*.xdi"))
    found = [path for path in found if "SO4" not in path.name]
    assert found
    iron = StructureBatch.from_arrays(NUMBERS, AXES * 2.0)
    labels = [the_label(path, structure=iron) for path in found]
    for label in labels:
        assert 0.5 < label.spectrum()[1].max() < 3.0
