"""A predictor as one ONNX graph: features in; mean, standard deviation and novelty out.

Weights are stored as float16 and cast when the model is loaded. Each member is a chain of plain
Gemm nodes: ONNX Runtime runs these faster than batched products of stacked weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trainer.networks import CLIP, DISTANCE_FLOOR, NOVELTY_CLIP, Ensemble, Novelty, Predictor

OPSET = 17
IR_VERSION = 8  # what ONNX Runtime 1.18 and later read
HALF_FROM = 1024  # elements; smaller tensors stay float32

Array = NDArray[np.float32]


class Graph:
    """Nodes and constants as they are added; every method returns the name of a result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant as it is."""
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def half(self, name: str, value: Array) -> str:
        """Add a constant that is stored as float16 where it is large; it must survive rounding."""
        if value.size < HALF_FROM:
            return self.constant(name, value)
        return self.op("Cast", self.constant(f"{name}_half", value.astype(np.float16)), to=1)

    def index(self, *values: int) -> str:
        """Add a constant row of integers, as axes and shapes are given."""
        return self.constant("i" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        """Add a scalar float32 constant."""
        name = f"f{len(self.constants)}"
        return self.constant(name, np.array(value, dtype=np.float32))


def to_onnx(predictor: Predictor) -> bytes:
    """The ONNX file of a predictor whose weights were rounded (``Predictor.round_to_half``)."""
    graph = Graph()
    ensemble = predictor.ensemble
    scaled = _scaled(graph, "input", ensemble, CLIP)
    inputs = graph.op("MatMul", scaled, graph.half("projection", ensemble.projection.numpy()))
    members = [_member(graph, ensemble, i, inputs) for i in range(ensemble.recipe.members)]
    _spread(graph, predictor, members)
    _novelty(graph, predictor.novelty)
    n_features, n_energy = len(ensemble.centre), len(ensemble.mean_spectrum)
    shapes: dict[str, list[str | int]] = {
        "mean": ["n", n_energy],
        "std": ["n", n_energy],
        "novelty": ["n"],
    }
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "edgestream",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", n_features])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ],
            list(graph.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgestream",
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _scaled(graph: Graph, name: str, module: Ensemble | Novelty, clip: float) -> str:
    centred = graph.op("Sub", "features", graph.constant(f"{name}_centre", module.centre.numpy()))
    scaled = graph.op("Mul", centred, graph.constant(f"{name}_scale", module.scale.numpy()))
    return graph.op("Clip", scaled, graph.number(-clip), graph.number(clip))


def _member(graph: Graph, ensemble: Ensemble, i: int, x: str) -> str:
    """(1, n, n_energy): residual from the mean spectrum, by one member."""
    last = len(ensemble.weights) - 1
    for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        name = f"member{i}_layer{layer}"
        w = graph.half(f"{name}_weight", weight[i].numpy())
        y = graph.op("Gemm", x, w, graph.constant(f"{name}_bias", bias[i, 0].numpy()))
        if layer < last:
            y = _activation(graph, ensemble.recipe.activation, y)
            y = graph.op("Add", x, y) if ensemble.recipe.residual and layer else y
        x = y
    decoder = graph.constant("decoder", ensemble.decoder.numpy())
    return graph.op("Unsqueeze", graph.op("MatMul", x, decoder), graph.index(0))


def _activation(graph: Graph, kind: str, x: str) -> str:
    return graph.op("Relu", x) if kind == "relu" else graph.op("Mul", x, graph.op("Sigmoid", x))


def _spread(graph: Graph, predictor: Predictor, members: list[str]) -> None:
    """The outputs ``mean`` and ``std``."""
    stacked = graph.op("Concat", *members, axis=0)
    centre = graph.op("ReduceMean", stacked, axes=[0], keepdims=0)
    spectrum = graph.constant("mean_spectrum", predictor.ensemble.mean_spectrum.numpy())
    graph.op("Add", centre, spectrum, output="mean")
    off = graph.op("Sub", stacked, centre)
    squares = graph.op("ReduceSum", graph.op("Mul", off, off), graph.index(0), keepdims=0)
    freedom = graph.number(float(predictor.factor) ** 2 / max(1, len(members) - 1))
    smoothing = graph.constant("smoothing", predictor.smoothing.numpy())
    variance = graph.op("Mul", graph.op("MatMul", squares, smoothing), freedom)
    floor = graph.constant("floor_squared", predictor.floor.numpy() ** 2)
    graph.op("Sqrt", graph.op("Add", variance, floor), output="std")


def _novelty(graph: Graph, novelty: Novelty) -> None:
    """The output ``novelty``; the same steps as ``networks.Novelty.forward``."""
    x = _scaled(graph, "novelty", novelty, NOVELTY_CLIP)
    points = novelty.points.numpy()
    z = graph.op("MatMul", x, graph.half("axes", novelty.axes.numpy()))
    length = _squared_length(graph, z)
    transposed = graph.half("points", np.ascontiguousarray(points.T))
    cross = graph.op("Mul", graph.op("MatMul", z, transposed), graph.number(-2.0))
    to_points = graph.op("Add", cross, graph.constant("point_lengths", (points**2).sum(1)))
    nearest = graph.op("Add", graph.op("ReduceMin", to_points, axes=[1], keepdims=0), length)
    outside = graph.op("Sub", _squared_length(graph, x), length)
    both = graph.op("Add", graph.op("Relu", nearest), graph.op("Relu", outside))
    squared = graph.op("Mul", both, graph.number(1.0 / float(novelty.unit) ** 2))
    graph.op("Sqrt", graph.op("Add", squared, graph.number(DISTANCE_FLOOR**2)), output="novelty")


def _squared_length(graph: Graph, x: str) -> str:
    return graph.op("ReduceSum", graph.op("Mul", x, x), graph.index(1), keepdims=0)
