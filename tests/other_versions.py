"""Further versions of a real model: the same, with slightly other weights or another grid."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from model_store import manifest as manifests
from model_store.bundle import Bundle, check_bytes, open_bundle
from model_store.manifest import CHECK, MANIFEST, MODEL
from model_store.runtime import Session
from xas.descriptor import Descriptor


def other_version(
    bundle: Bundle, folder: Path, *, by: float = 0.01, shift_ev: float = 0.0
) -> Bundle:
    """The bundle with its largest layer's weights enlarged by a part, and its energies shifted."""
    folder.mkdir(parents=True)
    graph = onnx.load_from_string(bundle.model())
    weights = max(graph.graph.initializer, key=lambda t: int(np.prod(t.dims)))
    weights.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1 + by), weights.name)
    )
    (folder / MODEL).write_bytes(graph.SerializeToString())
    output = msgspec.structs.replace(
        bundle.manifest.output,
        energy_ev=tuple(e + shift_ev for e in bundle.manifest.output.energy_ev),
    )
    _write(bundle, folder, output)
    check = bundle.check()
    features = Descriptor(bundle.manifest.descriptor).featurise(check.batch, check.sites).values
    made = Bundle(folder, manifests.read(folder))
    mean, std, novelty = Session(made).run(features)
    assert not by or np.abs(mean - check.mean).max() > 1e-4, "the same answers"
    (folder / CHECK).write_bytes(check_bytes(replace(check, mean=mean, std=std, novelty=novelty)))
    _write(bundle, folder, output)
    return open_bundle(folder)


def with_files(bundle: Bundle, folder: Path, *, model: bytes) -> Bundle:
    """The bundle with another network, whose answer to the check input is not the stored one."""
    folder.mkdir(parents=True)
    (folder / MODEL).write_bytes(model)
    (folder / CHECK).write_bytes(bundle.content(CHECK))
    _write(bundle, folder, bundle.manifest.output)
    return open_bundle(folder)


def _write(bundle: Bundle, folder: Path, output: manifests.SpectrumOutput) -> None:
    files = {f: _sha256(folder / f) for f in (MODEL, CHECK)}
    manifest = msgspec.structs.replace(bundle.manifest, files=files, output=output)
    (folder / MANIFEST).write_bytes(manifests.encode(manifest))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64
