"""XANESNET folders that are as they should be, and many that are not."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("yaml")

import torch
from made_xanesnet import (
    ENERGY,
    N_ENERGY,
    N_FEATURES,
    WEIGHTS,
    make_ensemble,
    make_folder,
    weights,
)

from model_store.runtime import Session
from model_store.store import Store
from trainer.importers.decoder import fourier_decoder
from trainer.importers.imported import put_imported, write_bundle
from trainer.importers.xanesnet import Request, import_xanesnet
from xas.errors import BadModel, Reject

pytestmark = pytest.mark.train


def answers(folder: Path, bundle: Path, features: Any, **said: Any) -> tuple[np.ndarray, ...]:
    imported = import_xanesnet(folder, request(**said))
    bundle.mkdir()
    return Session(write_bundle(imported, bundle)).run(features)


def request(**said: Any) -> Request:
    return Request(**{"element": "Fe", "name": "made", "energy": ENERGY} | said)


def some_features(n: int = 5) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 3, (n, N_FEATURES)).astype(np.float32)


def by_torch(tensors: Any, features: np.ndarray, activation: Any) -> np.ndarray:
    """What PyTorch's own layers give."""
    x = torch.from_numpy(features)
    for i in (0, 3, 6):
        weight, bias = tensors[f"dense_layers.{i}.weight"], tensors[f"dense_layers.{i}.bias"]
        x = torch.nn.functional.linear(x, weight, bias)
        x = activation(x) if i < 6 else x
    return x.detach().numpy()


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("relu", torch.nn.ReLU()),
        ("silu", torch.nn.SiLU()),
        ("gelu", torch.nn.GELU()),
        ("tanh", torch.nn.Tanh()),
        ("sigmoid", torch.nn.Sigmoid()),
        ("elu", torch.nn.ELU()),
        ("selu", torch.nn.SELU()),
    ],
)
def test_every_activation_is_that_of_pytorch(tmp_path: Path, name: str, activation: Any) -> None:
    folder = make_folder(tmp_path / "made", model__activation=name)
    mean, std, novelty = answers(folder, tmp_path / "bundle", some_features())
    expected = by_torch(weights(), some_features(), activation)
    np.testing.assert_allclose(mean, expected, rtol=0, atol=2e-6)
    assert not std.any()
    assert not novelty.any()


def test_an_ensemble_gives_the_population_standard_deviation(tmp_path: Path) -> None:
    folder = make_ensemble(tmp_path / "made")
    mean, std, _ = answers(folder, tmp_path / "bundle", some_features())
    members = [by_torch(weights(i), some_features(), torch.nn.ReLU()) for i in (1, 2, 3)]
    np.testing.assert_allclose(mean, np.mean(members, axis=0), rtol=0, atol=2e-6)
    np.testing.assert_allclose(std, np.std(members, axis=0), rtol=0, atol=2e-6)


def test_spin_and_charge_are_fixed_when_the_model_is_imported(tmp_path: Path) -> None:
    tensors = weights(widths=(N_FEATURES + 2, 12, 6, N_ENERGY))
    folder = make_folder(
        tmp_path / "made",
        tensors,
        model__in_features=N_FEATURES + 2,
        descriptor__use_spin=True,
        descriptor__use_charge=True,
    )
    mean, _, _ = answers(folder, tmp_path / "bundle", some_features(), spin=2.0, charge=-1.0)
    last = np.tile(np.float32([2.0, -1.0]), (5, 1))
    expected = by_torch(tensors, np.hstack([some_features(), last]), torch.nn.ReLU())
    np.testing.assert_allclose(mean, expected, rtol=0, atol=2e-6)


def test_coefficients_of_a_fourier_basis_become_spectra(tmp_path: Path) -> None:
    tensors = weights(widths=(N_FEATURES, 12, 6, 2 * N_ENERGY))
    folder = make_folder(
        tmp_path / "made", tensors, targets__fourier=True, model__out_features=2 * N_ENERGY
    )
    mean, _, _ = answers(folder, tmp_path / "bundle", some_features())
    raw = by_torch(tensors, some_features(), torch.nn.ReLU())
    np.testing.assert_allclose(mean, np.fft.ifft(raw).real[:, :N_ENERGY], rtol=0, atol=2e-6)


def test_the_fourier_decoder_undoes_the_transform_of_the_targets() -> None:
    spectra = np.random.default_rng(0).normal(size=(3, 50))
    mirrored = np.hstack([spectra, spectra[:, ::-1]])
    # only the real part is kept, so what comes back is the even part of the mirrored spectrum
    even = 0.5 * (mirrored + np.roll(mirrored[:, ::-1], 1, axis=1))
    coefficients = np.fft.fft(mirrored).real
    np.testing.assert_allclose(coefficients @ fourier_decoder(50).T, even[:, :50], atol=1e-12)


def test_the_manifest_says_what_is_not_known(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "made")
    store = Store([tmp_path / "models"])
    said = request(command="edgestream models import", licence="CC-BY-4.0")
    manifest = put_imported(import_xanesnet(folder, said), store).manifest
    assert (manifest.training, manifest.calibration, manifest.quality) == (None, None, ())
    assert (manifest.output.errors, manifest.output.novelty) == ("none", "none")
    assert manifest.origin is not None
    assert set(manifest.origin.files) == {"metadata.yaml", WEIGHTS}
    assert (manifest.origin.program, manifest.origin.licence) == ("XANESNET", "CC-BY-4.0")
    assert manifest.origin.settings["dialect"] == "newcastle"
    assert manifest.descriptor.weight == "0.1Z"
    assert not manifest.descriptor.clip_third


def test_the_spread_of_an_ensemble_is_said_to_be_uncalibrated(tmp_path: Path) -> None:
    manifest = import_xanesnet(make_ensemble(tmp_path / "made"), request()).manifest
    assert (manifest.members, manifest.output.errors) == (3, "uncalibrated")


def test_importing_twice_gives_two_versions(tmp_path: Path) -> None:
    folder, store = make_folder(tmp_path / "made"), Store([tmp_path / "models"])
    found = [put_imported(import_xanesnet(folder, request()), store) for _ in range(2)]
    assert [bundle.manifest.version for bundle in found] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "said", "reason"),
    [
        ({"model__type": "cnn"}, {}, "type 'cnn'; only mlp"),
        ({"model__activation": "swish"}, {}, "activation 'swish'; known: relu"),
        ({"model__hidden_size": 24}, {}, "another architecture: dense_layers.0.weight"),
        ({"model__in_features": 97}, {}, "takes 97 features, its descriptor gives 17"),
        ({"model__num_hidden_layers": 10**9}, {}, "hidden layers"),
        ({"model__shrink_rate": 1e9}, {}, "shrink_rate"),
        ({"model__hidden_size": 10**12}, {}, "layers of"),
        ({"model__batch_norm": True}, {}, "unknown field `batch_norm`"),
        ({"descriptor__g2_parameterisation": "centred"}, {}, "never compared"),
        ({"descriptor__absorber_atom_only": False}, {}, "every atom"),
        ({"descriptor__r_max": 1.0}, {}, "no room"),
        ({"descriptor__r_max": float("inf")}, {}, "no room"),
        ({"descriptor__l": []}, {}, "l or z is empty"),
        ({"descriptor__l": [5.0]}, {}, r"metadata\.yaml: .*lambda = 5.0"),
        ({"descriptor__n_g4": 10**9}, {}, "n_g4"),
        ({"descriptor__type": "soap"}, {}, "soap"),
        ({"descriptor__use_spin": True}, {}, "--spin NUMBER"),
        ({}, {"charge": 1.0}, "leave out --charge"),
        ({"targets__fourier": True}, {}, "21 energies need 42: give the grid"),
        ({"targets__gaussian": True}, {}, "give the grid of the training"),
        ({"targets__fourier": True, "targets__gaussian": True}, {}, "at once"),
        ({"targets__standardise": True}, {}, "unknown field `standardise`"),
        ({"scheme": "kfold"}, {}, "kfold"),
        ({"scheme": "ensemble"}, {}, "0 folders model_001"),
        ({"mode": "train_xanes"}, {}, "train_xanes"),
        ({"descriptors": []}, {}, "0 descriptors"),
        ({"surprise": 1}, {}, "unknown field `surprise`"),
        ({}, {"energy": None}, "give them with --energy"),
        ({}, {"energy": "7100:7140:20"}, "gives 21 numbers, but 20 energies need 20"),
        ({}, {"energy": "7.10:7.14:21"}, "not keV"),
        ({}, {"energy": "-10:30:21"}, "relative to the edge"),
        ({}, {"element": "Cu"}, "are not eV near the Cu K edge"),
        ({}, {"edge": "X9"}, "no edge 'X9'"),
        ({}, {"element": "Fx"}, "no element has the symbol"),
        ({}, {"name": "../up"}, "no name of a model"),
        ({}, {"dialect": "klingon"}, "there are newcastle, redux, conexs"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], said: dict[str, Any], reason: str
) -> None:
    folder = make_folder(tmp_path / "made", **changes)
    with pytest.raises(Reject, match=reason) as caught:
        put_imported(import_xanesnet(folder, request(**said)), Store([tmp_path / "models"]))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    tensors = weights()
    tensors["dense_layers.3.bias"][2] = value
    folder = make_folder(tmp_path / "made", tensors)
    with pytest.raises(BadModel, match=r"dense_layers\.3\.bias holds values that are not finite"):
        import_xanesnet(folder, request())


def test_a_missing_file_is_named_with_what_to_copy(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "made")
    (folder / WEIGHTS).unlink()
    with pytest.raises(BadModel, match=r"model_weights\.pth: .*copy the whole folder"):
        import_xanesnet(folder, request())
    with pytest.raises(BadModel, match="give the folder that XANESNET saved"):
        import_xanesnet(tmp_path / "nowhere", request())


def test_an_ensemble_copied_in_part_is_refused(tmp_path: Path) -> None:
    folder = make_ensemble(tmp_path / "made", (1, 3))
    with pytest.raises(BadModel, match=r"member 2 .* is missing \(model_002; there is model_003\)"):
        import_xanesnet(folder, request())


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2", "scheme: !!python/object/apply:os.system [true]", "a: " + "[" * 2000, "\x00"],
)
def test_metadata_that_is_not_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    folder = make_folder(tmp_path / "made")
    (folder / "metadata.yaml").write_text(text)
    with pytest.raises(BadModel, match="not a model that can be imported") as caught:
        import_xanesnet(folder, request())
    assert "\n" not in str(caught.value)


class Intruder:
    """Runs something when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_weights_that_would_run_code_are_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    folder = make_folder(tmp_path / "made", {"dense_layers.0.weight": Intruder(mark)})
    for data in (None, pickle.dumps(Intruder(mark)), b"", b"PK\x03\x04", bytes(1000)):
        if data is not None:
            (folder / WEIGHTS).write_bytes(data)
        with pytest.raises(BadModel, match="not weights of PyTorch"):
            import_xanesnet(folder, request())
    assert not mark.exists()


@pytest.mark.parametrize(
    "tensors",
    [[1, 2], {"a": "b"}, {"a": torch.ones(2, dtype=torch.int64)}, {1: torch.ones(2)}],
)
def test_files_of_other_things_than_weights_are_refused(tmp_path: Path, tensors: Any) -> None:
    folder = make_folder(tmp_path / "made", tensors)
    with pytest.raises(BadModel, match=r"dictionary of tensors|plain floating-point"):
        import_xanesnet(folder, request())
