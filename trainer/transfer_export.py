"""The graph of a transfer: the start's own graph, then the map and the kernel that were added."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from trainer.export import Graph, matern_of
from trainer.transfer import Start, Transfer
from xas.errors import BadModel

Array = NDArray[np.float64]


def extended(start: bytes, transfer: Transfer, floor: Array) -> bytes:
    """The ONNX file that predicts as ``transfer``, with ``floor`` (n_energy,) for every error bar.

    The novelty is the start's.
    """
    model = onnx.load_from_string(start)
    graph = Graph(prefix=f"transfer{len(model.graph.node)}_")
    place = _place(model.graph)
    _rename_mean(model.graph, "start_" + graph.prefix)
    _add_mean(graph, "start_" + graph.prefix, place, transfer)
    ones = graph.op("Pow", "novelty", graph.number(0.0))
    column = graph.op("Unsqueeze", ones, graph.index(1))
    graph.op("Mul", column, graph.constant("floor", floor.astype(np.float32)), output="std")
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.constants.values())
    _set_outputs(model.graph, len(floor))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _add_mean(graph: Graph, start: str, place: str, transfer: Transfer) -> None:
    slope, offset, points, delta = (
        a.astype(np.float32)
        for a in (transfer.slope, transfer.offset, transfer.points, transfer.delta)
    )
    known = graph.op(
        "Gemm", start, graph.constant("slope", slope), graph.constant("offset", offset)
    )
    near = matern_of(graph, place, points)
    left = graph.op("MatMul", near, graph.constant("delta", delta))
    graph.op("Add", known, left, output="mean")


def _place(graph: onnx.GraphProto) -> str:
    """The result that holds where structures lie in the start's metric."""
    cast = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "Cast"}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] == cast.get("metric_half"):
            return str(node.output[0])
    raise BadModel("the start's graph does not use its metric as edgestream writes it")


def _rename_mean(graph: onnx.GraphProto, name: str) -> None:
    for node in graph.node:
        node.output[:] = [_renamed(o, name) for o in node.output]


def _renamed(output: str, mean: str) -> str:
    return {"mean": mean, "std": f"{mean}std"}.get(output, output)


def _set_outputs(graph: onnx.GraphProto, n_energy: int) -> None:
    del graph.output[:]
    spectra: list[str | int] = ["n", n_energy]
    for name, shape in {"mean": spectra, "std": spectra, "novelty": spectra[:1]}.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def answer(
    start: Start, transfer: Transfer, floor: Array, features: Array
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (n, n_energy) and novelty (n,), by numpy."""
    known = start.of(features)
    std = np.tile(floor, (len(features), 1))
    return (
        transfer.predict(known).astype(np.float32),
        std.astype(np.float32),
        known.novelty.astype(np.float32),
    )
