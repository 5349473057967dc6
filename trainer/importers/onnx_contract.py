"""A graph of any origin, given the ends of a bundle: features -> mean, std, novelty.

What the original lacks is given as 0, and the manifest says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xas.errors import BadModel

OUTPUTS = ("mean", "std", "novelty")
IR_VERSION = 8  # what ONNX Runtime 1.18 and later read; below 4 constants are inputs as well
_PREFIX = "original/"
_KINDS = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}


@dataclass(frozen=True, slots=True)
class Conformed:
    """The file, and which of std and novelty the original gives."""

    model: bytes
    gives: frozenset[str]


def conform(model: onnx.ModelProto, n_features: int, n_energy: int, where: str) -> Conformed:
    """The graph with our ends. Raises BadModel where its ends are not what the manifest says.

    One input (n, n_features) and an output (n, n_energy) are needed, float32 or float64, n free. A
    single output is the mean whatever its name; of several, one must be called ``mean``, and
    ``std`` (n, n_energy) and ``novelty`` (n,) are taken too.
    """
    taken, given = _ends(model, where)
    _require_shape(taken, (n_features,), "the descriptor gives", where)
    for name, output in given.items():
        width = () if name == "novelty" else (n_energy,)
        _require_shape(output, width, "the manifest says", where)
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    inner.ir_version = max(inner.ir_version, IR_VERSION)
    _rename(inner.graph)
    _join(inner.graph, taken, given)
    _set_ends(inner.graph, n_features, n_energy)
    try:
        onnx.checker.check_model(inner)
    except onnx.checker.ValidationError as error:
        raise BadModel(f"{where}: {' '.join(str(error).split())[:200]}") from None
    return Conformed(inner.SerializeToString(), frozenset(given) - {"mean"})


def _join(
    graph: onnx.GraphProto, taken: onnx.ValueInfoProto, given: dict[str, onnx.ValueInfoProto]
) -> None:
    """Nodes from our input to the renamed one, and from the renamed outputs to ours."""
    first = _cast("features", _PREFIX + taken.name, taken.type.tensor_type.elem_type)
    last = [_cast(_PREFIX + end.name, name, TensorProto.FLOAT) for name, end in given.items()]
    nodes = [first, *graph.node, *last, *_absent(given)]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.array([0], dtype=np.int64), "first_axis"))


def _ends(
    model: onnx.ModelProto, where: str
) -> tuple[onnx.ValueInfoProto, dict[str, onnx.ValueInfoProto]]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [end for end in model.graph.input if end.name not in constants]
    if len(inputs) != 1:
        raise BadModel(
            f"{where}: the graph takes {_names(inputs)}; a bundle takes the features alone: export "
            "it with one input (n, n_features)"
        )
    outputs = {end.name: end for end in model.graph.output}
    if len(outputs) == 1:
        return inputs[0], {"mean": next(iter(outputs.values()))}
    if "mean" not in outputs or not set(outputs) <= set(OUTPUTS):
        raise BadModel(
            f"{where}: the graph gives {_names(outputs.values())}; name its outputs mean, std and "
            "novelty (mean alone will do), and leave out the others"
        )
    return inputs[0], {name: outputs[name] for name in OUTPUTS if name in outputs}


def _names(ends: object) -> str:
    names = ", ".join(end.name for end in ends)  # type: ignore[attr-defined]
    return (names or "nothing")[:200]


def _require_shape(end: onnx.ValueInfoProto, width: tuple[int, ...], who: str, where: str) -> None:
    tensor = end.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    wanted = f"(n, {', '.join(map(str, width))})" if width else "(n,)"
    if tensor.elem_type not in _KINDS:
        raise BadModel(f"{where}: {end.name} is neither float32 nor float64: export it as float32")
    if shape and shape[0] is not None:
        raise BadModel(
            f"{where}: {end.name} has a fixed first axis ({shape[0]}): export the model with a "
            "dynamic batch axis"
        )
    if len(shape) != 1 + len(width) or any(
        found not in (None, want) for found, want in zip(shape[1:], width, strict=True)
    ):
        found = ", ".join("n" if n is None else str(n) for n in shape)
        raise BadModel(
            f"{where}: {end.name} of the graph is ({found}), but {who} {wanted}: correct the "
            "descriptor or the energies in the manifest"
        )


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], to=kind)


def _absent(given: dict[str, onnx.ValueInfoProto]) -> list[onnx.NodeProto]:
    nodes = []
    if "std" not in given:
        nodes += [
            helper.make_node("Shape", ["mean"], ["mean_shape"]),
            helper.make_node("ConstantOfShape", ["mean_shape"], ["std"]),
        ]
    if "novelty" not in given:
        nodes += [
            helper.make_node("Shape", ["features"], ["features_shape"]),
            helper.make_node("Gather", ["features_shape", "first_axis"], ["n_sites"]),
            helper.make_node("ConstantOfShape", ["n_sites"], ["novelty"]),
        ]
    return nodes


def _set_ends(graph: onnx.GraphProto, n_features: int, n_energy: int) -> None:
    del graph.input[:], graph.output[:], graph.value_info[:]
    widths = {"mean": [n_energy], "std": [n_energy], "novelty": []}
    graph.input.append(_end("features", [n_features]))
    graph.output.extend(_end(name, width) for name, width in widths.items())


def _rename(graph: onnx.GraphProto) -> None:
    """Put a prefix before every name, branches included, so that none is one of ours."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_PREFIX + name if name else "" for name in names]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner)
    values = [sparse.values for sparse in graph.sparse_initializer]
    for named in (*graph.initializer, *values, *graph.input, *graph.output, *graph.value_info):
        named.name = _PREFIX + named.name


def _end(name: str, width: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *width])
