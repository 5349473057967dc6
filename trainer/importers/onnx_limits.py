"""What an ONNX file of unknown origin may hold, so that a worker can run it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import onnx
from onnx import numpy_helper

from model_store.onnx_file import require_standalone
from xas.errors import BadModel

OPSETS = range(9, 22)
"""Of the operators; ONNX Runtime 1.18, the oldest that edgestream runs on, knows up to 21."""
MAX_IR_VERSION = 10
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
MAX_BYTES = 2**30
CHANCE = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def load_within_limits(data: bytes, where: str) -> onnx.ModelProto:
    """The model of an ONNX file. Raises BadModel, in one line with the remedy, for

    a damaged file, external data, an opset or a format that workers do not know, operators of other
    domains, endless loops, operators that draw random numbers, and weights that are not finite.
    """
    if len(data) > MAX_BYTES:
        raise BadModel(f"{where}: larger than {MAX_BYTES >> 30} GiB")
    require_standalone(data, where)
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf's and ONNX's classes differ by version
        reason = " ".join(str(error).split())[:200]
        raise BadModel(f"{where}: not a valid ONNX model: {reason}") from None
    fault = _version_fault(model) or _operator_fault(model) or _weight_fault(model)
    if fault:
        raise BadModel(f"{where}: {fault}")
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def _version_fault(model: onnx.ModelProto) -> str | None:
    if opset_of(model) not in OPSETS:
        return f"opset {opset_of(model)}: export it with {OPSETS[0]} to {OPSETS[-1]}, e.g. 17"
    if model.ir_version > MAX_IR_VERSION:
        return f"IR version {model.ir_version}: save it with {MAX_IR_VERSION} or lower (8 will do)"
    return None


def _operator_fault(model: onnx.ModelProto) -> str | None:
    own = {function.domain for function in model.functions}
    for node in _nodes(model):
        if node.domain not in DOMAINS | own:
            return (
                f"operator {node.domain}.{node.op_type} is no standard one: export the model with "
                "operators of ONNX alone"
            )
        if node.op_type == "Loop":
            return "operator Loop can run without end in a worker: export the model unrolled"
        if node.op_type in CHANCE:
            return f"operator {node.op_type} draws random numbers: export the model for inference"
    return None


def _weight_fault(model: onnx.ModelProto) -> str | None:
    for tensor in _tensors(model):
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            return f"tensor {tensor.name!r:.80} cannot be read ({error})"
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            return (
                f"tensor {tensor.name!r:.80} holds NaN: the training diverged, or the file is "
                "damaged; export a model that was saved before"
            )
    return None


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    waiting = [*model.graph.node, *chain.from_iterable(f.node for f in model.functions)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    yield from (sparse.values for sparse in model.graph.sparse_initializer)
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            yield from attribute.g.initializer
            yield from chain.from_iterable(graph.initializer for graph in attribute.graphs)
