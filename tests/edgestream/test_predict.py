"""``edgestream predict``: structures of a file, in one process."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from commands import DEMO, call, complaint, text_of, the_line

import edgestream

pytestmark = pytest.mark.processes


def test_a_table_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "spectra.svg"
    printed = call("predict", DEMO, "--every", 100, "--plot", picture).stdout
    assert "4 sites, 7097 to 7172 eV" in printed
    assert "uncertainty / %" in printed
    assert picture.read_text().startswith("<?xml")


def test_json_holds_the_spectra_that_python_gets(tmp_path: Path) -> None:
    few = tmp_path / "few.extxyz"
    few.write_text(text_of(slice(0, 3)))
    said = json.loads(call("predict", few, "--absorber", "0", "--json").stdout)
    direct = edgestream.predict(ase.io.read(few, ":"))
    assert np.allclose(said["intensity"], direct.intensity, atol=1e-6)
    assert np.allclose(said["energy"], direct.energy)
    assert (said["structure"], said["atom"], said["model"]) == ([0, 1, 2], [0, 0, 0], direct.model)


def test_a_truncated_file_shows_its_complete_frames_and_says_so() -> None:
    done = call("predict", "-", input=text_of(slice(0, 3))[:-100], code=2)
    assert "2 sites" in done.stdout
    assert "ends in the middle of frame 2" in the_line(done.stderr)


def test_a_structure_without_a_spectrum_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.extxyz"
    other.write_text(text_of(slice(0, 1)) + text_of(slice(1, 2)).replace("\nFe", "\nCo"))
    said = complaint("predict", other)
    assert said == f"{other}, frame 1: no Fe atom in it; fe-k predicts Fe K-edges"
    assert "atom 3 is C" in complaint("predict", DEMO, "--absorber", 3)
