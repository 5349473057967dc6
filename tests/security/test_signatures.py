"""Models that nobody vouches for, and models that reach for files outside their bundle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import pytest
from bundles import make_bundle
from onnx import TensorProto, helper

from model_store import manifest as manifests
from model_store.manifest import MODEL
from model_store.onnx_file import require_standalone
from model_store.signature import TrustedKeys, sign
from model_store.store import Store
from xas.errors import BadModel, Reject


def new_key(folder: Path, name: str) -> Path:
    """A private key, and its public half in ``folder/keys``."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem, private = form.Encoding.PEM, folder / f"{name}.key"
    plain = form.NoEncryption()
    private.write_bytes(key.private_bytes(pem, form.PrivateFormat.PKCS8, plain))
    public = folder / f"keys-{name}" / f"{name}.pem"
    public.parent.mkdir()
    public.write_bytes(key.public_key().public_bytes(pem, form.PublicFormat.SubjectPublicKeyInfo))
    return private


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_key(tmp_path, "ann")


def closed_store(folder: Path, who: str = "ann") -> Store:
    return Store([folder / "store"], require_signed=TrustedKeys(folder / f"keys-{who}"))


def test_a_signed_model_is_put_found_and_opened(tmp_path: Path, key: Path) -> None:
    bundle = make_bundle(tmp_path / "new")
    sign(bundle.folder, key)
    store = closed_store(tmp_path)
    for version in (1, 2):
        assert store.put(bundle.folder) == version
        assert store.get(f"tiny@{version}").manifest.signature
    assert store.get("fe-k").reference == "fe-k@1", "what comes with edgestream is trusted"


def test_an_unsigned_model_is_neither_put_nor_opened(tmp_path: Path, key: Path) -> None:
    bundle = make_bundle(tmp_path / "new")
    Store([tmp_path / "store"]).put(bundle.folder)
    store = closed_store(tmp_path)
    for refused in (
        lambda: store.put(bundle.folder),
        lambda: store.get("tiny"),
        lambda: store.get(bundle.folder),
    ):
        with pytest.raises(BadModel, match="is not signed"):
            refused()


def test_a_strangers_signature_counts_for_nothing(tmp_path: Path, key: Path) -> None:
    bundle = make_bundle(tmp_path / "new")
    sign(bundle.folder, new_key(tmp_path, "eve"))
    with pytest.raises(BadModel, match="nobody whose key"):
        closed_store(tmp_path).get(bundle.folder)


CHANGES: list[Callable[[manifests.Manifest], manifests.Manifest]] = [
    lambda m: msgspec.structs.replace(m, files=m.files | {MODEL: "0" * 64}),
    lambda m: msgspec.structs.replace(m, summary="better"),
    lambda m: msgspec.structs.replace(m, name="fe-k"),
    lambda m: msgspec.structs.replace(m, signature="A" + m.signature[1:]),
    lambda m: msgspec.structs.replace(m, signature="no base64"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["hash", "words", "name", "signature", "garbage"])
def test_whatever_is_changed_after_signing_is_noticed(
    tmp_path: Path, key: Path, change: Callable[[manifests.Manifest], manifests.Manifest]
) -> None:
    bundle = make_bundle(tmp_path / "new")
    changed = change(sign(bundle.folder, key))
    (bundle.folder / manifests.MANIFEST).write_bytes(manifests.encode(changed))
    with pytest.raises(BadModel, match="nobody whose key"):
        closed_store(tmp_path).get(bundle.folder)


def test_a_signed_model_whose_network_was_changed_is_refused(tmp_path: Path, key: Path) -> None:
    bundle = make_bundle(tmp_path / "new")
    sign(bundle.folder, key)
    make_other = make_bundle(tmp_path / "other", seed=1)
    (bundle.folder / MODEL).write_bytes((make_other.folder / MODEL).read_bytes())
    with pytest.raises(BadModel, match="SHA-256"):
        closed_store(tmp_path).get(bundle.folder)


def test_a_folder_without_keys_trusts_nobody(tmp_path: Path) -> None:
    with pytest.raises(Reject, match="no key"):
        TrustedKeys(tmp_path)


@pytest.mark.processes
def test_the_command_line_signs_and_refuses(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "new")
    monkeypatch.setenv("EDGESTREAM_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("EDGESTREAM_MODEL_KEYS", str(tmp_path / "keys-ann"))
    assert "is not signed" in models("put", bundle.folder, code=2)
    models("sign", bundle.folder, "--key", key)
    models("put", bundle.folder)
    models("verify", "tiny")
    monkeypatch.setenv("EDGESTREAM_MODEL_KEYS", str(tmp_path))
    assert "no key" in models("verify", "tiny", code=2)


def models(*words: object, code: int = 0) -> str:
    command = [sys.executable, "-m", "edgestream", "models", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


# -- tensors in other files ------------------------------------------------------------------------


def outside(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value=location)
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def in_graph(tensor: TensorProto) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph([], "g", [], [], [tensor]))


def in_attribute(tensor: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    return helper.make_model(helper.make_graph([node], "g", [], []))


def in_branch(tensor: TensorProto) -> onnx.ModelProto:
    branch = in_attribute(tensor).graph
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return helper.make_model(helper.make_graph([node], "g", [], []))


def in_function(tensor: TensorProto) -> onnx.ModelProto:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    model.functions.add(name="f", domain="d").node.append(node)
    return model


def in_training(tensor: TensorProto) -> onnx.ModelProto:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.training_info.add().initialization.initializer.append(tensor)
    return model


def in_sparse(tensor: TensorProto) -> onnx.ModelProto:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return model


@pytest.mark.parametrize(
    "hide", [in_graph, in_attribute, in_branch, in_function, in_training, in_sparse]
)
@pytest.mark.parametrize("location", ["/etc/passwd", "../../secret", "weights.bin", ""])
def test_no_tensor_comes_from_another_file(
    hide: Callable[[TensorProto], onnx.ModelProto], location: str
) -> None:
    with pytest.raises(BadModel, match="external data is refused"):
        require_standalone(hide(outside(location)).SerializeToString(), "m.onnx")


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", ".hidden", "a/b", "manifest.json"]
)
def test_a_manifest_lists_no_file_outside_its_folder(tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "new")
    files = bundle.manifest.files | {name: "0" * 64}
    data = manifests.encode(msgspec.structs.replace(bundle.manifest, files=files))
    with pytest.raises(BadModel):
        manifests.decode(data, "here")
