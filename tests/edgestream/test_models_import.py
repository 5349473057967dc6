"""``edgestream models import``: from another program's files to spectra, by real processes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
from commands import call, complaint

import edgestream

pytest.importorskip("torch")
pytest.importorskip("yaml")

from edgestream.run_command import median_uncertainty
from model_store.store import Store
from stream.result_file.verify import verify
from trainer.importers.imported import put_imported
from trainer.importers.xanesnet import Request, import_xanesnet

pytestmark = [pytest.mark.data, pytest.mark.train, pytest.mark.processes]

GOLDEN = "golden_xanesnet"


@pytest.fixture(scope="module")
def store(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two golden models, one of them imported on the command line."""
    folder = tmp_path_factory.mktemp("models")
    grid = folder / "grid.txt"
    np.savetxt(grid, np.load(data_dir / "fe_k_xanesnet.npz")["energy"], fmt="%.2f")
    source = data_dir / GOLDEN / "newcastle_mlp_ensemble"
    words = ("--element", "Fe", "--name", "ensemble", "--models", folder, "--energy", grid)
    said = call("models", "import", "xanesnet", source, *words).stdout
    assert "stored as ensemble@1" in said
    single = data_dir / GOLDEN / "newcastle_mlp_single"
    put_imported(import_xanesnet(single, Request(element="Fe", name="single")), Store([folder]))
    return folder


@pytest.fixture(scope="module")
def structures(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden structures with one Fe atom, as a trajectory; ``info`` holds their rows."""
    with np.load(data_dir / "fe_k_xanesnet.npz") as found:
        offsets, numbers, positions = (found[k] for k in ("offsets", "numbers", "positions"))
    with np.load(data_dir / GOLDEN / "features.npz") as found:
        indices = found["index"]
    parts = [slice(a, b) for a, b in pairwise(offsets)]
    atoms = [
        ase.Atoms(numbers[parts[i]], positions[parts[i]], info={"row": row})
        for row, i in enumerate(indices)
        if (numbers[parts[i]] == 26).sum() == 1
    ]
    assert len(atoms) >= 10
    path = tmp_path_factory.mktemp("structures") / "golden.xyz"
    with path.open("w") as file:
        for a in atoms:
            file.write(f"{len(a)}\nrow={a.info['row']}\n")
            for symbol, r in zip(a.symbols, a.positions, strict=True):
                file.write(f"{symbol} {r[0]:.17g} {r[1]:.17g} {r[2]:.17g}\n")
    return path


def golden(data_dir: Path, model: str, structures: Path) -> tuple[Any, Any]:
    lines = structures.read_text().splitlines()
    rows = [int(line[4:]) for line in lines if line.startswith("row=")]
    with np.load(data_dir / GOLDEN / f"newcastle_mlp_{model}" / "predictions.npz") as found:
        return found["mean"][rows], found["std"][rows]


def test_an_imported_model_predicts_on_the_command_line(
    store: Path, structures: Path, data_dir: Path
) -> None:
    words = ("predict", structures, "--model", "single", "--models", store)
    said = json.loads(call(*words, "--json").stdout)
    mean, _ = golden(data_dir, "single", structures)
    np.testing.assert_allclose(said["intensity"], mean, rtol=0, atol=1e-5)
    assert said["model"] == "single@1"
    assert {value for row in said["errors"] for value in row} == {None}
    assert set(said["novelty"]) == {None}
    assert " - " in call(*words).stdout


def test_an_imported_ensemble_predicts_a_run(
    store: Path, structures: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.h5"
    call("run", structures, "--model", "ensemble", "--models", store, "-o", out, "--workers", 1)
    mean, std = golden(data_dir, "ensemble", structures)
    with edgestream.open_run(out) as run:
        np.testing.assert_allclose(run.intensity[:], mean, rtol=0, atol=1e-5)
        np.testing.assert_allclose(run.errors[:], std, rtol=0, atol=1e-5)
        assert (run.status == 1).all()


def test_a_file_of_a_model_without_errors_has_none(
    store: Path, structures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.h5"
    call("run", structures, "--model", "single", "--models", store, "-o", out, "--workers", 1)
    with edgestream.open_run(out) as run:
        assert np.isnan(run.errors[:]).all()
        assert np.isnan(run.novelty[:]).all()
        assert np.isnan(run.average.errors).all()
        assert np.isfinite(run.average.intensity).all()
    assert verify(out).is_good


def test_a_run_without_error_bars_does_not_claim_to_be_certain() -> None:
    spectra, none = np.ones((2, 3)), np.full((2, 3), np.nan)
    assert median_uncertainty(spectra, none) is None
    assert median_uncertainty(spectra, 0.1 * spectra) == pytest.approx(10.0)


def test_an_imported_model_is_shown_with_what_is_not_known(store: Path) -> None:
    listed = call("models", "list", "--models", store).stdout
    assert "unknown, from XANESNET" in listed
    shown = " ".join(call("models", "show", "single", "--models", store).stdout.split())
    for words in ("errors none", "novelty none", "quality unknown", "model_weights.pth (sha256"):
        assert words in shown
    shown = " ".join(call("models", "show", "ensemble", "--models", store).stdout.split())
    assert "spread of the model's members as it is, not calibrated" in shown


def test_a_refused_import_says_why_in_one_line(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / GOLDEN / "newcastle_mlp_ensemble"
    said = ("models", "import", "xanesnet", folder, "--element", "Fe", "--models", tmp_path)
    assert "give them with --energy MIN:MAX:N" in complaint(*said)
    pickled = ("models", "import", "sklearn", "x.joblib", "--manifest", "m.json")
    assert "--trust" in complaint(*pickled, "--models", tmp_path)
    assert not list(tmp_path.iterdir())
