"""A small bundle with random weights: a real descriptor, a real ONNX graph, real hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_store import manifest as manifests
from model_store.bundle import Bundle, Check, check_bytes, open_bundle
from model_store.manifest import (
    CHECK,
    MODEL,
    Calibration,
    Dataset,
    Manifest,
    SpectrumOutput,
    StructureInput,
    Training,
)
from xas.descriptor import Descriptor, DescriptorSpec
from xas.structure import Sites, StructureBatch, sites_of_element

ENERGY = np.linspace(7097.0, 7172.0, 16)
IRON = 26


def iron_oxides(n: int, *, first: int = 0) -> StructureBatch:
    """n structures of one Fe and two to four O atoms; structure i follows from its index alone."""
    numbers, positions, sizes = [], [], []
    for i in range(first, first + n):
        rng = np.random.default_rng(i)
        n_oxygen = 2 + i % 3
        shell = 2.0 * np.eye(3)[rng.permutation(3)][: min(n_oxygen, 3)]
        oxygen = np.concatenate([shell, -shell[:1]])[:n_oxygen]
        numbers += [IRON, *[8] * n_oxygen]
        positions += [np.zeros((1, 3)), oxygen + rng.normal(0, 0.05, oxygen.shape)]
        sizes.append(1 + n_oxygen)
    return StructureBatch.from_arrays(numbers, np.concatenate(positions), np.cumsum([0, *sizes]))


def make_bundle(folder: Path, *, name: str = "tiny", version: int = 1, seed: int = 0) -> Bundle:
    """Write a bundle of the paper's descriptor and one random layer into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = DescriptorSpec.paper_2022()
    model = _graph(spec.n_features, len(ENERGY), np.random.default_rng(seed))
    (folder / MODEL).write_bytes(model)
    (folder / CHECK).write_bytes(check_bytes(_check(spec, model)))
    manifest = Manifest(
        name=name,
        version=version,
        element="Fe",
        edge="K",
        input=StructureInput(spec.to_dict()),
        output=SpectrumOutput(tuple(ENERGY.tolist()), "1"),
        members=1,
        training=_untrained(seed),
        quality=(),
        calibration=Calibration(method="none", split="none", figures={}),
        files={f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in (MODEL, CHECK)},
    )
    (folder / manifests.MANIFEST).write_bytes(manifests.encode(manifest))
    return open_bundle(folder)


def _graph(n_features: int, n_energy: int, rng: np.random.Generator) -> bytes:
    weight = rng.normal(0, 0.02, (n_features, n_energy)).astype(np.float32)
    constants = {"weight": weight, "floor": np.full((1, n_energy), 0.1, np.float32)}
    nodes = [
        helper.make_node("Tanh", ["features"], ["squashed"]),
        helper.make_node("MatMul", ["squashed", "weight"], ["mean"]),
        helper.make_node("Mul", ["mean", "mean"], ["squared"]),
        helper.make_node("Add", ["squared", "floor"], ["std"]),
        helper.make_node("ReduceMean", ["squashed"], ["novelty"], axes=[1], keepdims=0),
    ]
    shapes = {"mean": ["n", n_energy], "std": ["n", n_energy], "novelty": ["n"]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", n_features])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, s) for k, s in shapes.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def _check(spec: DescriptorSpec, model: bytes) -> Check:
    batch = iron_oxides(2)
    sites = sites_of_element(batch, IRON)
    features = Descriptor(spec).featurise(batch, sites).values.astype(np.float32)
    mean, std, novelty = _answers(model, features)
    return Check(batch, Sites(sites.structure, sites.atom), mean, std, novelty)


def _answers(model: bytes, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [np.asarray(v) for v in session.run(["mean", "std", "novelty"], {"features": features})]


def _untrained(seed: int) -> Training:
    data = Dataset(
        file="none", sha256="0" * 64, n_labels=1, n_groups=1, source="", licence="", citation=""
    )
    return Training(
        command="tests/bundles.py",
        preset="random",
        seed=seed,
        date="2026-01-01",
        duration_s=0.0,
        data=data,
        recipe={},
        versions={"onnx": onnx.__version__},
    )
