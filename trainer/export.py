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

from trainer.kernel import KernelMember
from trainer.networks import CLIP, DISTANCE_FLOOR, FAR, Ensemble, Novelty, Predictor

OPSET = 17
IR_VERSION = 8  # what ONNX Runtime 1.18 and later read
HALF_FROM = 1024  # elements; smaller tensors stay float32

Array = NDArray[np.float32]


class Graph:
    """Nodes and constants as they are added; every method returns the name of a result."""

    def __init__(self, prefix: str = "") -> None:
        """``prefix``: of every name but those of outputs that the caller names."""
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        output = output or f"{self.prefix}{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant as it is."""
        name = self.prefix + name
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
    scaled = _scaled(graph, ensemble)
    novelty = _novelty(graph, predictor.novelty, scaled)
    clipped = inputs = graph.op("Clip", scaled, graph.number(-CLIP), graph.number(CLIP))
    if ensemble.projection is not None:
        inputs = graph.op("MatMul", clipped, graph.half("projection", ensemble.projection.numpy()))
    members = [_member(graph, ensemble, i, inputs) for i in range(predictor.members)]
    if ensemble.kernel is not None:
        members.append(_kernel(graph, ensemble.kernel, clipped))
    centre = _mean(graph, ensemble, members)
    _std(graph, predictor, members, centre, novelty)
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


def _scaled(graph: Graph, ensemble: Ensemble) -> str:
    centred = graph.op("Sub", "features", graph.constant("centre", ensemble.centre.numpy()))
    scaled = graph.op("Mul", centred, graph.constant("scale", ensemble.scale.numpy()))
    return graph.op("Clip", scaled, graph.number(-FAR), graph.number(FAR))


def _member(graph: Graph, ensemble: Ensemble, i: int, x: str) -> str:
    """(n, n_outputs): the components of the spectrum, by one member."""
    last = len(ensemble.weights) - 1
    for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        name = f"member{i}_layer{layer}"
        w = graph.half(f"{name}_weight", weight[i].numpy())
        y = graph.op("Gemm", x, w, graph.constant(f"{name}_bias", bias[i, 0].numpy()))
        if layer < last:
            y = _activation(graph, ensemble.recipe.activation, y)
            y = graph.op("Add", x, y) if ensemble.recipe.residual and layer else y
        x = y
    return x


def _kernel(graph: Graph, kernel: KernelMember, clipped: str) -> str:
    """(n, n_outputs): the same steps as ``kernel.KernelMember.forward``."""
    place = graph.op("MatMul", clipped, graph.half("metric", kernel.metric.numpy()))
    near = matern_of(graph, place, kernel.points.numpy())
    return graph.op("MatMul", near, graph.constant("coefficients", kernel.coefficients.numpy()))


def matern_of(graph: Graph, place: str, points: Array) -> str:
    """The kernel (n, n_points) between rows of ``place`` and the points, stored in two bytes."""
    columns = graph.half("points", np.ascontiguousarray(points.T))
    lengths = graph.constant("point_lengths", (points**2).sum(1))
    across = graph.op("Gemm", place, columns, lengths, alpha=-2.0)
    length = graph.op("ReduceSum", graph.op("Mul", place, place), graph.index(1), keepdims=1)
    r = graph.op("Sqrt", graph.op("Relu", graph.op("Add", across, length)))
    above = graph.op("Add", r, graph.number(1.0))
    return graph.op("Mul", above, graph.op("Exp", graph.op("Neg", r)))


def _activation(graph: Graph, kind: str, x: str) -> str:
    return graph.op("Relu", x) if kind == "relu" else graph.op("Mul", x, graph.op("Sigmoid", x))


def _mean(graph: Graph, ensemble: Ensemble, members: list[str]) -> str:
    """The output ``mean``, decoded once for all members; returns their mean components."""
    centre = _weighted(graph, ensemble.shares.tolist(), members)
    decoder = graph.constant("decoder", ensemble.decoder.numpy())
    spectrum = graph.constant("mean_spectrum", ensemble.mean_spectrum.numpy())
    graph.op("Gemm", centre, decoder, spectrum, output="mean")
    return centre


def _weighted(graph: Graph, shares: list[float], rows: list[str]) -> str:
    """The weighted mean of rows; those of one weight are added up before they are multiplied."""
    if len(rows) == 1:
        return rows[0]
    parts = []
    for share in dict.fromkeys(shares):
        same = [row for row, its in zip(rows, shares, strict=True) if its == share]
        total = graph.op("Sum", *same) if len(same) > 1 else same[0]
        parts.append(graph.op("Mul", total, graph.number(share)))
    return graph.op("Add", *parts) if len(parts) > 1 else parts[0]


def _std(graph: Graph, predictor: Predictor, members: list[str], centre: str, novelty: str) -> None:
    """The output ``std``."""
    grown = graph.op("Pow", novelty, graph.number(float(predictor.growth)))
    column = graph.op("Unsqueeze", grown, graph.index(1))
    output = "std" if len(members) == 1 else ""  # no spread
    floor = graph.op("Mul", column, graph.constant("floor", predictor.floor.numpy()), output=output)
    if len(members) == 1:
        return
    decoder = graph.constant("spread", predictor.spread.numpy())
    off = [graph.op("MatMul", graph.op("Sub", m, centre), decoder) for m in members]
    squares = [graph.op("Mul", x, x) for x in off]
    mean_square = _weighted(graph, predictor.ensemble.shares.tolist(), squares)
    factor = np.float32(float(predictor.factor) ** 2 * predictor.ensemble.unbiased)
    smoothing = graph.constant("smoothing", predictor.smoothing.numpy() * factor)
    variance = graph.op("MatMul", mean_square, smoothing)
    both = graph.op("Add", variance, graph.op("Mul", floor, floor))
    graph.op("Sqrt", both, output="std")


def _novelty(graph: Graph, novelty: Novelty, scaled: str) -> str:
    """The output ``novelty``; the same steps as ``networks.Novelty.forward``."""
    landmarks = novelty.landmarks.numpy()
    z = graph.op("MatMul", scaled, graph.half("axes", novelty.axes.numpy()))
    length = _squared_length(graph, z)
    columns = graph.half("landmarks", np.ascontiguousarray(landmarks.T))
    lengths = graph.constant("landmark_lengths", (landmarks**2).sum(1))
    to_landmarks = graph.op("Gemm", z, columns, lengths, alpha=-2.0)
    nearest = graph.op("Add", graph.op("ReduceMin", to_landmarks, axes=[1], keepdims=0), length)
    outside = graph.op("Sub", _squared_length(graph, scaled), length)
    both = graph.op("Add", graph.op("Relu", nearest), graph.op("Relu", outside))
    squared = graph.op("Mul", both, graph.number(1.0 / float(novelty.unit) ** 2))
    floored = graph.op("Add", squared, graph.number(DISTANCE_FLOOR**2))
    return graph.op("Sqrt", floored, output="novelty")


def _squared_length(graph: Graph, x: str) -> str:
    return graph.op("ReduceSum", graph.op("Mul", x, x), graph.index(1), keepdims=0)
