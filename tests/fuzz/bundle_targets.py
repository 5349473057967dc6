"""Bundles of models: the manifest, the network, the check input; their hashes always agree."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import onnx
from bundles import make_bundle
from mutation import NUMBERS, TEXT_WORDS, TEXTS, mad_bytes, twisted
from onnx import helper
from target import Target

from model_store.bundle import open_bundle
from model_store.manifest import CHECK, MANIFEST, MODEL
from model_store.runtime import Session
from xas.descriptor import Descriptor


def manifests(folder: Path) -> Target:
    """The manifest of a bundle, up to the descriptor that it asks for."""
    seed = make_bundle(folder / "tiny").folder / MANIFEST
    data = seed.read_bytes()

    def look(data: bytes) -> None:
        seed.write_bytes(data)
        Descriptor(open_bundle(folder / "tiny").manifest.descriptor)

    def insane(data: bytes, rng: Random) -> bytes:
        try:
            return msgspec.json.encode(twisted(msgspec.json.decode(data), rng))
        except (msgspec.DecodeError, ValueError, OverflowError, TypeError):
            return data

    return Target(look=look, seeds=[data], insane=insane, words=(*TEXT_WORDS, b'"../x"', b"[]"))


def _file_of(folder: Path, name: str) -> tuple[bytes, Callable[[bytes], None]]:
    """A file of a bundle, and what puts another in its place with the hash that it has."""
    tiny = make_bundle(folder / "tiny").folder
    first = (tiny / name).read_bytes()
    words = (tiny / MANIFEST).read_bytes()
    known = hashlib.sha256(first).hexdigest().encode()

    def put(data: bytes) -> None:
        (tiny / name).write_bytes(data)
        (tiny / MANIFEST).write_bytes(
            words.replace(known, hashlib.sha256(data).hexdigest().encode())
        )

    return first, put


def networks(folder: Path) -> Target:
    """The ONNX file, up to its answer to the check input."""
    first, put = _file_of(folder, MODEL)
    bundle = open_bundle(folder / "tiny")
    check = bundle.check()
    features = Descriptor(bundle.manifest.descriptor).featurise(check.batch, check.sites).values

    def look(data: bytes) -> None:
        put(data)
        Session(open_bundle(folder / "tiny")).check_fault(features, check)

    model = onnx.load_from_string(first)
    return Target(
        look=look,
        seeds=[first, *_variants(model)],
        insane=_mad_network,
        words=OPS,
        memory_bytes=4 << 30,  # a network may ask for what it wants: docs/security.md
    )


OPS = tuple(
    name.encode()
    for name in (
        *("Tanh", "MatMul", "Loop", "If", "Scan", "Tile", "Expand", "Range", "ConstantOfShape"),
        *("Reshape", "Gather", "com.microsoft", "ai.onnx.ml", "../../x", "features", "mean"),
    )
)


def _variants(model: onnx.ModelProto) -> list[bytes]:
    """The same network through operators that know other tricks."""
    found = []
    for op, inputs, constant in (
        ("Reshape", ["squashed", "shape"], np.array([-1, 97])),
        ("Clip", ["squashed", "low"], np.float32(-1.0)),
        ("Gather", ["squashed", "which"], np.array(0)),
    ):
        other = onnx.ModelProto()
        other.CopyFrom(model)
        name = inputs[1]
        other.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(constant), name))
        axis = {"axis": 0} if op == "Gather" else {}
        other.graph.node.insert(1, helper.make_node(op, inputs, [f"unused-{op}"], **axis))
        found.append(other.SerializeToString())
    return found


def _mad_network(data: bytes, rng: Random) -> bytes:
    """An ONNX file that parses, with a mad tensor, node, shape or reference."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # noqa: BLE001 - changed before
        return data
    if not (model.graph.node and model.graph.initializer):
        return data
    rng.choice((_mad_tensor, _mad_node, _mad_shape, _outside, _generator, _opset))(model, rng)
    found: bytes = model.SerializeToString()
    return found


def _mad_tensor(model: Any, rng: Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    way = rng.randrange(3)
    if way == 0:
        tensor.dims[:] = [rng.choice(NUMBERS) for _ in range(rng.randint(0, 4))]
    elif way == 1:
        tensor.raw_data = mad_bytes(tensor.raw_data or b"\0" * 8, rng)
    else:
        tensor.data_type = rng.randint(-1, 30)


def _mad_node(model: Any, rng: Random) -> None:
    node = rng.choice(model.graph.node)
    way = rng.randrange(4)
    if way == 0:
        node.op_type = rng.choice(OPS).decode()
    elif way == 1:
        node.domain = rng.choice((*TEXTS, "com.microsoft", "ai.onnx.ml", "mine"))
    elif way == 2 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(("", "mean", "std", "weight"))
    else:
        node.attribute.append(helper.make_attribute("axis", rng.choice(NUMBERS[:-1])))


def _mad_shape(model: Any, rng: Random) -> None:
    end = rng.choice([*model.graph.input, *model.graph.output])
    shape = end.type.tensor_type.shape
    if shape.dim:
        rng.choice(shape.dim).dim_value = rng.choice(NUMBERS)


def _outside(model: Any, rng: Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    place = rng.choice(("../../../etc/passwd", "/etc/passwd", "weights"))
    tensor.external_data.add(key="location", value=place)


def _generator(model: Any, rng: Random) -> None:
    """A node that makes much of little."""
    shape = np.array([rng.choice((10**6, 10**9, 2**40, -1, 0)), rng.choice((1, 10**6))])
    model.graph.initializer.append(onnx.numpy_helper.from_array(shape, "much"))
    op = rng.choice(("ConstantOfShape", "Expand", "Tile", "Reshape", "RandomNormal"))
    inputs = ["much"] if op == "ConstantOfShape" else ["squashed", "much"]
    model.graph.node.append(helper.make_node(op, inputs, ["huge"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["one"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["novelty", "one"], ["more"]))
    if len(model.graph.output) > 2:  # else changed before
        model.graph.output[2].name = rng.choice(("more", "novelty"))


def _opset(model: Any, rng: Random) -> None:
    for opset in model.opset_import[:1]:
        opset.version = rng.choice((0, -1, 1, 5, 30, 2**62))
    model.ir_version = rng.choice((0, 3, 8, 99, -1))


def check_inputs(folder: Path) -> Target:
    """The check input of a bundle, an npz file."""
    first, put = _file_of(folder, CHECK)

    def look(data: bytes) -> None:
        put(data)
        bundle = open_bundle(folder / "tiny")
        check = bundle.check()
        Descriptor(bundle.manifest.descriptor).featurise(check.batch, check.sites)

    def insane(data: bytes, rng: Random) -> bytes:
        with np.load(io.BytesIO(first)) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        name = rng.choice(list(found))
        way, values = rng.randrange(4), found[name]
        if way == 0:
            found[name] = np.frombuffer(mad_bytes(values.tobytes(), rng)[: values.nbytes], np.uint8)
        elif way == 1:
            raw = mad_bytes(values.tobytes(), rng).ljust(values.nbytes, b"\0")[: values.nbytes]
            found[name] = np.frombuffer(raw, values.dtype).reshape(values.shape)
        elif way == 2:
            found[name] = values[: len(values) // 2]
        else:
            found[name] = np.zeros(rng.choice((0, 1, 10**6)), values.dtype)
        file = io.BytesIO()
        rng.choice((np.savez, np.savez_compressed))(file, **found)
        return file.getvalue()

    return Target(look=look, seeds=[first], insane=insane, words=(b"PK\x03\x04", b"NUMPY", b"O"))
