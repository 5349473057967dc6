"""A perceptron of another program: its layers, checked; an ensemble of them as one ONNX graph.

The graph stores float32 as the original does. It takes ``features`` and gives ``mean``, ``std`` (0
for one member, else the population standard deviation) and ``novelty`` (0: unknown).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from trainer.export import IR_VERSION, OPSET, Graph
from trainer.importers.architecture import Architecture
from xas.errors import BadModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perceptron:
    """y = W x + b, layer after layer, the activation between them; W (n_out, n_in) float64.

    slopes  of the activation "prelu" below zero, one a hidden layer
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: str
    slopes: tuple[float, ...] = ()

    @classmethod
    def of(cls, architecture: Architecture, tensors: Mapping[str, Array], where: str) -> Self:
        """Take the tensors of a file; BadModel where they are not those of the architecture."""
        shapes = architecture.shapes()
        _require_same(shapes, {name: np.shape(t) for name, t in tensors.items()}, where)
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise BadModel(
                    f"{where}: {name} holds values that are not finite: the training diverged, or "
                    "the file is damaged; import a model that was saved before"
                )
        layers = range(len(architecture.widths) - 1)
        slopes = [f"dense_layers.{3 * i + 2}.weight" for i in layers]
        return cls(
            weights=tuple(tensors[f"dense_layers.{3 * i}.weight"] for i in layers),
            biases=tuple(tensors[f"dense_layers.{3 * i}.bias"] for i in layers),
            activation=architecture.activation,
            slopes=tuple(float(tensors[name][0]) for name in slopes if name in shapes),
        )

    def decoded_by(self, decoder: Array | None) -> Self:
        """The same perceptron giving ``decoder @ outputs``; decoder (n_energy, n_outputs)."""
        if decoder is None:
            return self
        weights = (*self.weights[:-1], decoder @ self.weights[-1])
        return replace(self, weights=weights, biases=(*self.biases[:-1], decoder @ self.biases[-1]))

    def with_fixed_last(self, values: Sequence[float]) -> Self:
        """The same perceptron with its last inputs fixed to ``values``."""
        if not values:
            return self
        n = self.weights[0].shape[1] - len(values)
        first, bias = self.weights[0], self.biases[0]
        weights = (first[:, :n], *self.weights[1:])
        return replace(
            self, weights=weights, biases=(bias + first[:, n:] @ np.array(values), *self.biases[1:])
        )


def _require_same(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], where: str
) -> None:
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            said, has = expected.get(name, "no such tensor"), found.get(name, "is missing")
            raise BadModel(
                f"{where}: weights of another architecture: {name} {has}, metadata.yaml says {said}"
                "; take both files from one training"
            )


def to_onnx(members: Sequence[Perceptron]) -> bytes:
    """The ONNX file of one perceptron, or of the mean and spread of several."""
    graph = Graph()
    spectra = [_member(graph, member, i) for i, member in enumerate(members)]
    if len(spectra) == 1:
        graph.op("Identity", spectra[0], output="mean")
        graph.op("ConstantOfShape", graph.op("Shape", "mean"), output="std")
    else:
        _spread(graph, spectra)
    n_sites = graph.op("Gather", graph.op("Shape", "features"), graph.index(0))
    graph.op("ConstantOfShape", n_sites, output="novelty")
    return _file(graph, members[0].weights[0].shape[1], members[0].weights[-1].shape[0])


def _member(graph: Graph, member: Perceptron, i: int) -> str:
    x = "features"
    last = len(member.weights) - 1
    for layer, (weight, bias) in enumerate(zip(member.weights, member.biases, strict=True)):
        name = f"member{i}_layer{layer}"
        w = graph.constant(f"{name}_weight", weight.T.astype(np.float32))
        x = graph.op("Gemm", x, w, graph.constant(f"{name}_bias", bias.astype(np.float32)))
        if layer < last:
            x = _activated(graph, member, layer, x)
    return x


def _activated(graph: Graph, member: Perceptron, layer: int, x: str) -> str:
    match member.activation:
        case "silu":
            return graph.op("Mul", x, graph.op("Sigmoid", x))
        case "gelu":  # x (1 + erf(x / sqrt 2)) / 2; the operator Gelu came with a later opset
            erf = graph.op("Erf", graph.op("Mul", x, graph.number(0.5**0.5)))
            twice = graph.op("Mul", x, graph.op("Add", erf, graph.number(1.0)))
            return graph.op("Mul", twice, graph.number(0.5))
        case "prelu":
            return graph.op("PRelu", x, graph.number(member.slopes[layer]))
        case kind:
            return graph.op(kind.capitalize(), x)  # Relu, Tanh, Sigmoid, Elu, Selu: as in PyTorch


def _spread(graph: Graph, spectra: Sequence[str]) -> None:
    rows = [graph.op("Unsqueeze", spectrum, graph.index(0)) for spectrum in spectra]
    stacked = graph.op("Concat", *rows, axis=0)
    graph.op("ReduceMean", stacked, axes=[0], keepdims=0, output="mean")
    off = graph.op("Sub", stacked, "mean")
    squares = graph.op("Mul", off, off)
    graph.op("Sqrt", graph.op("ReduceMean", squares, axes=[0], keepdims=0), output="std")


def _file(graph: Graph, n_features: int, n_energy: int) -> bytes:
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "imported",
            [_end("features", n_features)],
            [_end("mean", n_energy), _end("std", n_energy), _end("novelty")],
            list(graph.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgestream",
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _end(name: str, *width: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *width])
