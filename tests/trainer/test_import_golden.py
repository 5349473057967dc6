"""Imported models against the numbers of the original programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("yaml")
pytest.importorskip("skl2onnx")

from golden_differences import (
    DIALECTS,
    MODELS,
    PIPELINES,
    Golden,
    features_of,
    import_newcastle,
    import_redux,
    predictions_of,
)

from trainer.importers.decoder import gaussian_decoder
from xas.errors import BadModel

pytestmark = [pytest.mark.data, pytest.mark.train]


@pytest.fixture(scope="module")
def golden(data_dir: Path) -> Golden:
    return Golden(data_dir)


@pytest.mark.parametrize("suffix", ["", "_moved"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_gives_the_features_of_its_program(
    golden: Golden, dialect: str, suffix: str
) -> None:
    ours, theirs = features_of(golden, dialect, suffix)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_golden_features_tell_the_dialects_apart(golden: Golden) -> None:
    newcastle = features_of(golden, "newcastle_P3")[1]
    conexs = features_of(golden, "conexs_P3")[0]
    assert np.abs(newcastle - conexs).max() > 1e-2


@pytest.mark.parametrize("model", MODELS)
def test_an_imported_model_predicts_what_the_original_predicts(
    golden: Golden, model: str, tmp_path: Path
) -> None:
    bundle = import_newcastle(golden, model, tmp_path)
    mean, std = predictions_of(golden, bundle)
    with np.load(golden.folder / f"newcastle_mlp_{model}" / "predictions.npz") as found:
        assert bundle.manifest.output.energy_ev == tuple(found["energy"].round(2).tolist())
        np.testing.assert_allclose(mean, found["mean"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(std, found["std"], rtol=0, atol=1e-6)
    assert bundle.manifest.origin.difference < 1e-6


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_an_imported_pipeline_predicts_what_the_original_predicts(
    golden: Golden, pipeline: str, tmp_path: Path
) -> None:
    bundle, expected = import_redux(golden, pipeline, tmp_path)
    np.testing.assert_allclose(predictions_of(golden, bundle)[0], expected, rtol=0, atol=2e-6)


def test_the_gaussian_basis_can_be_built_where_its_file_is_missing(golden: Golden) -> None:
    with np.load(golden.folder / "newcastle_mlp_gaussian" / "predictions.npz") as found:
        basis, grid = found["basis_phi"], found["basis_energy"]
    ours = gaussian_decoder(tuple(grid.astype(np.float64).tolist()), (0.5, 1.0, 2.0, 4.0), 4)
    np.testing.assert_allclose(ours, basis, rtol=0, atol=5e-7)


def test_energies_that_contradict_the_side_file_are_refused(golden: Golden, tmp_path: Path) -> None:
    for words in ("7097:7172:225", "7097:7171:226"):
        with pytest.raises(BadModel, match="contradicts gaussian_basis"):
            import_newcastle(golden, "single", tmp_path, energy=words)
