"""ONNX files with a manifest written by hand: honest ones, and ones that lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from model_store.manifest import Manifest
from model_store.runtime import Session
from model_store.store import Store
from trainer.importers.bare_onnx import import_onnx
from trainer.importers.imported import put_imported
from xas.errors import BadModel

NODE = helper.make_node
N_FEATURES, N_ENERGY = 17, 21
MANIFEST: dict[str, Any] = {
    "name": "bare",
    "element": "Fe",
    "edge": "K",
    "summary": "a random layer",
    "input": {"descriptor": {"dialect": "redux", "r_min": 0.0, "n_g2": 8, "n_g4": 8}},
    "output": {"energy_ev": "7100:7140:21", "unit": "normalised"},
}
CALIBRATION = {"method": "none", "split": "none", "figures": {}}


def layer(**changes: Any) -> onnx.ModelProto:
    """mean = features @ weight, with everything that a test may want different."""
    said: dict[str, Any] = {
        "n": "batch",
        "taken": "x",
        "given": {"y": [N_ENERGY]},
        "kind": TensorProto.FLOAT,
        "weight": np.random.default_rng(0).normal(0, 0.05, (N_FEATURES, N_ENERGY)),
        "nodes": [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "opset": 17,
        "ir_version": 8,
    } | changes
    dtype = np.float64 if said["kind"] == TensorProto.DOUBLE else np.float32
    graph = helper.make_graph(
        said["nodes"],
        "layer",
        [helper.make_tensor_value_info(said["taken"], said["kind"], [said["n"], N_FEATURES])],
        [
            helper.make_tensor_value_info(name, said["kind"], [said["n"], *width])
            for name, width in said["given"].items()
        ],
        [numpy_helper.from_array(np.asarray(said["weight"]).astype(dtype), "weight")],
    )
    domains = [helper.make_opsetid("", said["opset"]), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=said["ir_version"])


def described(**changes: Any) -> dict[str, Any]:
    """The manifest with some values changed: ``output__unit="x"``; None takes a key away."""
    found = json.loads(json.dumps(MANIFEST))
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = found
        for name in parents:
            place = place[name]
        place[last] = value
        if value is None:
            del place[last]
    return found


def put(folder: Path, model: onnx.ModelProto | bytes, manifest: Any = None) -> Session:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    text = manifest if isinstance(manifest, str) else json.dumps(manifest or MANIFEST)
    (folder / "manifest.json").write_text(text)
    imported = import_onnx(folder / "model.onnx", folder / "manifest.json", "by hand")
    return Session(put_imported(imported, Store([folder / "models"])))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_a_bare_graph_gives_its_mean_and_zeros_for_what_it_lacks(tmp_path: Path, kind: int) -> None:
    model = layer(kind=kind)
    session = put(tmp_path, model)
    features = np.random.default_rng(2).uniform(0, 2, (3, N_FEATURES)).astype(np.float32)
    mean, std, novelty = session.run(features)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_allclose(mean, features @ weight, rtol=0, atol=1e-5)
    assert not std.any()
    assert not novelty.any()
    output = session.bundle.manifest.output
    assert (output.errors, output.novelty) == ("none", "none")
    assert len(output.energy_ev) == N_ENERGY


def branch(operator: str) -> onnx.GraphProto:
    """A graph that takes ``x`` and ``weight`` from the one around it."""
    end = helper.make_tensor_value_info("r", TensorProto.FLOAT, ["n", N_ENERGY])
    nodes = [NODE("MatMul", ["x", "weight"], ["inner"]), NODE(operator, ["inner"], ["r"])]
    return helper.make_graph(nodes, operator, [], [end])


def test_branches_and_constants_among_the_inputs_survive(tmp_path: Path) -> None:
    node = NODE("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Abs"))
    model = layer(nodes=[node], ir_version=3)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    shapes = {"weight": (TensorProto.FLOAT, [N_FEATURES, N_ENERGY]), "c": (TensorProto.BOOL, [])}
    for name, (kind, shape) in shapes.items():
        model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    features = np.ones((2, N_FEATURES), dtype=np.float32)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    mean = put(tmp_path, model).run(features)[0]
    np.testing.assert_allclose(mean, np.maximum(features @ weight, 0.0), rtol=0, atol=1e-6)


def test_names_that_are_ours_too_do_not_collide(tmp_path: Path) -> None:
    nodes = [
        NODE("MatMul", ["features", "weight"], ["std"]),
        NODE("Identity", ["std"], ["novelty"]),
        NODE("Identity", ["novelty"], ["mean"]),
    ]
    model = layer(nodes=nodes, taken="features", given={"mean": [N_ENERGY]})
    mean, std, _ = put(tmp_path, model).run(np.ones((2, N_FEATURES), dtype=np.float32))
    assert mean.any()
    assert not std.any()


def test_outputs_that_the_graph_has_are_kept(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["mean"]),
        helper.make_node("Abs", ["mean"], ["std"]),
        helper.make_node("ReduceMax", ["std"], ["novelty"], axes=[1], keepdims=0),
    ]
    model = layer(nodes=nodes, given={"mean": [N_ENERGY], "novelty": [], "std": [N_ENERGY]})
    said = described(output__errors="calibrated", output__novelty="uncalibrated")
    session = put(tmp_path, model, said | {"calibration": CALIBRATION})
    mean, std, novelty = session.run(np.ones((2, N_FEATURES), dtype=np.float32))
    np.testing.assert_array_equal(std, np.abs(mean))
    np.testing.assert_array_equal(novelty, std.max(axis=1))


def test_where_a_model_comes_from_is_written_down(tmp_path: Path) -> None:
    said = described(origin={"program": "my-net 2", "licence": "MIT", "citation": "us"})
    manifest: Manifest = put(tmp_path, layer(), said).bundle.manifest
    assert manifest.origin is not None
    assert set(manifest.origin.files) == {"model.onnx", "manifest.json"}
    assert (manifest.origin.program, manifest.origin.licence) == ("my-net 2", "MIT")
    assert manifest.origin.command == "by hand"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"output__energy_ev": "7100:7140:20"}, r"\(n, 21\), but the manifest says \(n, 20\)"),
        ({"input__descriptor__n_g2": 9}, r"\(n, 17\), but the descriptor gives \(n, 18\)"),
        ({"output__energy_ev": "7.1:7.14:21"}, "not keV"),
        ({"output__energy_ev": "-12:28:21"}, "relative to the edge"),
        ({"output__energy_ev": [1.0, 2.0]}, "but the manifest says"),
        ({"output__energy_unit": "keV"}, "unknown field `energy_unit`"),
        ({"output__unit": None}, "unit"),
        ({"output__unit": " "}, "unit of the intensity is empty"),
        ({"output__errors": "calibrated"}, "does not give std"),
        ({"output__novelty": "uncalibrated"}, "does not give novelty"),
        ({"output": None}, "it has no output"),
        ({"element": "Xx"}, "no element"),
        ({"edge": "Z"}, "no edge 'Z'"),
        ({"name": None}, "name"),
        ({"files": {}}, "leave out files"),
        ({"origin": {"files": {}}}, "origin has other keys"),
        ({"input__descriptor": "wacsf"}, "no object"),
        ({"input__descriptor": {}}, "the spec lacks"),
        ({"input__descriptor__dialect": "x"}, "no dialect 'x'"),
        ({"input__descriptor__use_spin": True}, "no features of a structure"),
        ({"input__descriptor__r_cut": 6}, "unknown field `r_cut`"),
        ({"surprise": 1}, "unknown field `surprise`"),
    ],
)
def test_a_manifest_that_lies_is_refused_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    from xas.errors import Reject

    with pytest.raises(Reject, match=reason) as caught:
        put(tmp_path, layer(), described(**changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_descriptor_in_nanometres_sees_no_neighbour(tmp_path: Path) -> None:
    from xas.descriptor import DescriptorSpec, RadialGrid

    grid = RadialGrid(mu=(0.1,) * 16, eta=(1.0,) * 16)
    spec = DescriptorSpec(cutoff_angstrom=0.6, g2=grid)
    with pytest.raises(BadModel, match="is it in angstrom"):
        put(tmp_path, layer(), described(input__descriptor=spec.to_dict()))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"input": 1}'])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadModel, match=r"manifest\.json"):
        put(tmp_path, layer(), text)


AND_Y = NODE("MatMul", ["x", "weight"], ["y"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n": 1}, r"fixed first axis \(1\): export the model with a dynamic batch axis"),
        ({"given": {"y": [N_ENERGY], "z": [N_ENERGY]}}, "name its outputs mean, std"),
        ({"given": {"y": []}}, r"y of the graph is \(n\), but the manifest says"),
        ({"opset": 7}, "opset 7: export it with 9 to 21"),
        ({"opset": 22}, "opset 22"),
        ({"ir_version": 11}, "IR version 11"),
        ({"weight": np.full((N_FEATURES, N_ENERGY), np.nan)}, "tensor 'weight' holds NaN"),
        ({"weight": np.full((N_FEATURES, N_ENERGY), 3e38)}, "mean of the check .* not finite"),
        ({"weight": np.zeros((N_FEATURES, 5))}, "cannot load it|5"),
        (
            {"nodes": [AND_Y, NODE("Gelu", ["y"], ["z"], domain="com.microsoft")]},
            "operator com.microsoft.Gelu is no standard one",
        ),
        (
            {"nodes": [AND_Y, NODE("RandomNormalLike", ["y"], ["z"])]},
            "RandomNormalLike draws random numbers",
        ),
        (
            {
                "nodes": [
                    NODE("MatMul", ["x", "weight"], ["z"]),
                    NODE("ReduceMean", ["z"], ["middle"], axes=[0]),
                    NODE("Sub", ["z", "middle"], ["y"]),
                ]
            },
            "depends on what else is in the batch",
        ),
    ],
)
def test_a_graph_that_a_worker_cannot_use_is_refused_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    given = changes.get("given", {})
    if "z" in given:
        changes = changes | {"nodes": [AND_Y, NODE("Identity", ["y"], ["z"])]}
    with pytest.raises(BadModel, match=reason) as caught:
        put(tmp_path, layer(**changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_loop_is_refused_also_inside_a_branch(tmp_path: Path) -> None:
    body = helper.make_graph(
        [NODE("Identity", ["go"], ["still"]), NODE("Abs", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", N_FEATURES]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["n", N_FEATURES]),
        ],
    )
    forever = helper.make_graph(
        [NODE("Loop", ["", "yes", "x"], ["inner"], body=body)],
        "forever",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["n", N_FEATURES])],
        [numpy_helper.from_array(np.array(True), "yes")],
    )
    model = layer(nodes=[AND_Y, NODE("If", ["b"], ["z"], then_branch=forever, else_branch=forever)])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "b"))
    with pytest.raises(BadModel, match="Loop can run without end"):
        put(tmp_path, model)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    model = layer()
    model.graph.input.append(helper.make_tensor_value_info("q", TensorProto.FLOAT, ["n", 1]))
    with pytest.raises(BadModel, match="takes x, q; a bundle takes the features alone"):
        put(tmp_path, model)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    model = layer()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    with pytest.raises(BadModel, match="external data is refused"):
        put(tmp_path, model)


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\x08\x08", layer().SerializeToString()[:-40]])
def test_a_file_that_is_no_whole_model_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadModel, match=r"model\.onnx"):
        put(tmp_path, data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    with pytest.raises(BadModel, match=r"nowhere\.onnx: cannot be read"):
        import_onnx(tmp_path / "nowhere.onnx", tmp_path / "manifest.json")
    with pytest.raises(BadModel, match="name it: --manifest"):
        import_onnx(tmp_path / "nowhere.onnx", tmp_path / "nowhere.json")


def test_the_energies_can_lie_in_a_file_beside_the_manifest(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "grid.txt", np.linspace(7100, 7140, N_ENERGY))
    session = put(tmp_path, layer(), described(output__energy_ev="grid.txt"))
    assert session.bundle.manifest.output.energy_ev[-1] == 7140.0
