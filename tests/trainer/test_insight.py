"""What a model looks at: names, importance, distances, features that suffice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgestream.models import open_store
from model_store.bundle import Bundle
from model_store.runtime import Session
from trainer.archive import Labels, read_labels
from trainer.feature_words import feature_words, kind_of
from trainer.importance import importance, windows_of
from trainer.insight import distances_of
from trainer.recipe import lean_descriptor, resolved_descriptor
from trainer.selection import select
from xas.descriptor import Descriptor, DescriptorSpec
from xas.errors import Reject

sklearn = pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_store().get("fe-k-fast@1")


@pytest.fixture(scope="module")
def labels(labels_file: Path) -> Labels:
    return read_labels(labels_file, 30)


@pytest.mark.parametrize(
    "spec", [resolved_descriptor(), lean_descriptor(), DescriptorSpec.paper_2022()]
)
def test_every_feature_has_a_name_of_its_own(spec: DescriptorSpec) -> None:
    words = feature_words(spec, "Fe")
    assert len(words) == len(set(words)) == spec.n_features


def test_names_say_what_a_chemist_would() -> None:
    words = feature_words(resolved_descriptor(), "Fe")
    assert words[0] == "Fe: number of neighbours"
    assert "Fe-O radial, 2.11 angstrom" in words
    assert "O-Fe-O angular, wide, within 2.3 angstrom, sharpness 16" in words
    assert {"Fe-Br/I radial", "C-Fe-O angular", "Fe-other radial"} <= set(map(kind_of, words))
    assert "Fe-any (weighted by Z) radial, 0.50 angstrom" in feature_words(
        DescriptorSpec.paper_2022(), "Fe"
    )


def test_the_columns_of_a_kind_are_those_of_its_elements() -> None:
    spec = lean_descriptor()
    groups = Descriptor(spec).groups
    words = feature_words(spec, "Fe")
    assert {kind_of(word) for word in words[groups["G2 O"]]} == {"Fe-O radial"}
    assert {kind_of(word) for word in words[groups["G4 C O"]]} == {"C-Fe-O angular"}


def test_what_is_always_the_same_is_not_important_and_what_moves_the_edge_is(
    bundle: Bundle, labels: Labels
) -> None:
    spec = bundle.manifest.descriptor
    features = Descriptor(spec).featurise(labels.batch, labels.sites).values
    energy = np.asarray(bundle.manifest.output.energy_ev)
    said = Session(bundle).run(features)[0].astype(np.float64)
    words = feature_words(spec, "Fe")
    blocks = {
        kind: [i for i, word in enumerate(words) if kind_of(word) == kind]
        for kind in ("Fe-N radial", "Fe-O radial", "O-Fe-O angular")
    }
    found = importance(bundle, features, said, energy, blocks, windows_of(energy, 7112.0))
    rises = {one.name: one.rise["whole spectrum"] for one in found}
    assert rises["Fe-N radial"] == pytest.approx(0.0, abs=1e-4)  # there is no N
    assert min(rises["Fe-O radial"], rises["O-Fe-O angular"]) > 0.1
    assert [*found[0].rise] == ["whole spectrum", "up to 7127 eV", "above 7127 eV"]


def test_distances_are_those_of_the_structures(labels: Labels) -> None:
    found = distances_of(labels, np.arange(len(labels)), 4.5)
    oxygen = np.array(found.per_label["O"])
    assert oxygen.sum() == pytest.approx(6.0)
    edges = np.array(found.edges_angstrom)
    assert edges[:-1][oxygen > 0].min() >= 1.75
    assert edges[1:][oxygen > 0].max() <= 2.35


def test_selection_finds_the_features_that_made_the_spectra() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(60, 8))
    features[:, 7] = 3.0
    spectra = features[:, [4]] * np.linspace(0, 1, 20) + features[:, [6]] * np.linspace(1, 0, 20)
    names = tuple(f"feature {i}" for i in range(8))
    groups = np.arange(60).astype(str)
    ways = {one.way: one for one in select(features, spectra, groups, names, keep=2)}
    assert "feature 7" not in ways["variance filter"].names
    for way in ("forward selection", "backward selection"):
        assert ways[way].names == ("feature 4", "feature 6")
        assert ways[way].r2 > 0.95


def test_windows_need_energies() -> None:
    with pytest.raises(Reject, match="do not lie on both sides of 8015 eV"):
        windows_of(np.linspace(7100.0, 7200.0, 11), 8000.0)


def test_the_command_explains_and_draws(labels_file: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgestream.cli import app

    words = ["explain", "fe-k-fast@1", "--data", labels_file, "--sample", 8, "--repeats", 1]
    more = ["--window", "7110:7120", "--plot", tmp_path / "it.png", "--quiet", "--json"]
    done = CliRunner().invoke(app, [str(word) for word in [*words, *more]])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [*found["kinds"][0]["rise"]] == ["whole spectrum", "7110 to 7120 eV"]
    assert len(found["features"]) == 421
    assert (tmp_path / "it.png").stat().st_size > 10_000
