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
        ("output/unit", " ", "unit of the intensity is empty"),
        ("output/unit", "a\nb", "no text in one line"),
        ("output/errors", "guessed", "not a manifest"),
        ("members", 0, "at least one member"),
        ("training", None, "neither how it was trained nor where it comes from"),
        ("calibration", None, "errors: said to be calibrated, but not how"),
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


def imported(**output: str) -> bytes:
    """The built-in manifest as that of a model of another program, in the newest format."""
    document = json.loads(BUILT_IN) | {"format": 2, "training": None, "calibration": None}
    document["output"] |= output
    origin = {"program": "X", "files": {}, "command": "", "date": "2026-01-01", "versions": {}}
    return json.dumps(document | {"quality": [], "origin": origin}).encode()


def test_a_manifest_of_the_first_format_is_read_as_it_was() -> None:
    manifest = manifests.decode(changed("format", 1), "here")
    assert manifest.format == 1
    assert (manifest.output.errors, manifest.output.novelty) == ("calibrated", "calibrated")
    assert manifest.origin is None


def test_an_imported_model_need_not_know_its_training() -> None:
    manifest = manifests.decode(imported(errors="uncalibrated", novelty="none"), "here")
    assert manifests.decode(manifests.encode(manifest), "there") == manifest
    assert manifest.training is None


@pytest.mark.parametrize("output", [{"errors": "none"}, {"novelty": "none"}])
def test_what_is_calibrated_says_how(output: dict[str, str]) -> None:
    with pytest.raises(BadModel, match="said to be calibrated, but not how"):
        manifests.decode(imported(**output), "here")


def test_an_origin_belongs_to_the_second_format() -> None:
    first = json.loads(imported(errors="none", novelty="none")) | {"format": 1}
    with pytest.raises(BadModel, match="neither how it was trained"):
        manifests.decode(json.dumps(first).encode(), "here")


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
