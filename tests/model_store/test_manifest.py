from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_store import manifest as manifests
from model_store.manifest import MANIFEST
from model_store.store import BUILTIN
from xas.errors import BadModel

BUILT_IN = (BUILTIN / "fe-k" / "1" / MANIFEST).read_bytes()


def changed(path: str, value: Any) -> bytes:
    document = json.loads(BUILT_IN)
    *parents, last = path.split("/")
    place = document
    for key in parents:
        place = place[key]
    place[last] = value
    return json.dumps(document).encode()


def test_a_manifest_survives_being_written_and_read() -> None:
    manifest = manifests.decode(BUILT_IN, "here")
    assert manifests.decode(manifests.encode(manifest), "there") == manifest


def test_a_manifest_is_written_for_reading() -> None:
    assert len(BUILT_IN.decode("ascii").splitlines()) > 100


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("format", 99, "newer than this edgestream reads"),
        ("name", "../up", "no name of a model"),
        ("version", 0, "not 1 or more"),
        ("element", "Xx", "no element"),
        ("output/energy_ev", [1.0, 3.0, 2.0], "do not rise"),
        ("output/energy_ev", [1.0], "1 energies"),
        ("output/energy_ev", [1.0, "two"], "not a manifest"),
        ("members", 0, "at least one member"),
        ("files", {}, "no hash of model.onnx"),
        ("files/model.onnx", "abc", "not a SHA-256"),
        ("files/..", "0" * 64, "no name of a file"),
        ("input/descriptor", {}, "the spec lacks"),
        ("input/descriptor/version", 99, "update edgestream"),
        ("input/type", "soup", "not a manifest"),
        ("surprise", 1, "unknown field"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_reason(path: str, value: Any, reason: str) -> None:
    with pytest.raises(BadModel, match=reason) as caught:
        manifests.decode(changed(path, value), "bundle/manifest.json")
    assert str(caught.value).startswith("bundle/manifest.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, BUILT_IN[:-50]])
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(BadModel):
        manifests.decode(data, "here")


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="not a bundle folder"):
        manifests.read(tmp_path)


def test_every_measure_of_the_built_in_model_names_its_split() -> None:
    manifest = manifests.decode(BUILT_IN, "here")
    assert manifest.quality
    assert all(row.split for row in manifest.quality)
    own = [row for row in manifest.quality if row.model == "fe-k"]
    assert {row.broadened for row in own} == {False, True}
    assert all(row.split.startswith("out of fold") for row in own)


def test_the_built_in_model_says_what_it_learned_from() -> None:
    training = manifests.decode(BUILT_IN, "here").training
    assert training.data.licence != "not stated"
    assert training.command.startswith("edgestream train fe-k")
