"""Messages: what a producer and a worker may put on the wire, up to where it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
from bundles import ENERGY, iron_oxides, make_bundle
from iron_labels import iron_label, octahedron
from mutation import twisted
from target import Target

from stream.broker import Entry
from stream.codec import MAGIC, PROTOCOL_VERSION, Array, decode, encode
from stream.dead_letters import letters_of, notices
from stream.labels import read_label
from stream.messages import DeadLetter, FrameBlock, ModelRecord, ResultBlock
from stream.result_rows import UsedModel, rows_of
from trainer import archive_segment
from trainer.archive_segment import row_of
from workers.batcher import Batch, Job, batches
from workers.predictor import Predictor
from xas.errors import BadMessage
from xas.structure import Sites, StructureBatch

RUN, FIRST, N = "md", 4, 3
MODEL = "ab" * 32
WORDS = (MAGIC.encode(), b"<f4", b"<f8", b"<i4", b"|u1", b"FrameBlock", b"ResultBlock", b"\xc0")


def frames(*, periodic: bool = False, explicit: bool = True) -> bytes:
    """A block of three frames, with everything that a block may hold."""
    plain = iron_oxides(N, first=FIRST)
    structures = StructureBatch.from_arrays(
        plain.numbers,
        plain.positions,
        plain.offsets,
        np.tile(9.0 * np.eye(3), (N, 1, 1)) if periodic else None,
        np.ones((N, 3), bool) if periodic else None,
    )
    block = FrameBlock.of(
        structures,
        run=RUN,
        first=FIRST,
        model="tiny",
        absorber="Fe",
        t_pushed=1.5,
        times=np.arange(N) * 2.0 if explicit else None,
        sites=Sites(np.arange(N), np.zeros(N, dtype=np.int64)) if explicit else None,
    )
    return encode(block)


def result(*, taken: bool = False) -> bytes:
    """The answer to it, of which the second frame has no spectrum."""
    n_energy = len(ENERGY)
    spectra = Array.of(np.ones((2, n_energy), np.float32))
    block = ResultBlock(
        run=RUN,
        first=FIRST,
        n_frames=N,
        model=MODEL,
        t_predicted=2.5,
        ours=True,
        status=Array.of(np.array([1, 2, 1], np.uint8)),
        t_pushed=Array.of(np.full(N, 1.5)),
        site_frame=Array.of(np.array([0, 2], np.int32)),
        site_atom=Array.of(np.zeros(2, np.int32)),
        intensity=spectra,
        errors=spectra,
        novelty=Array.of(np.ones(2, np.float32)),
        reasons={1: "no Fe atom in it"},
        challenger=MODEL if taken else "",
        taken=Array.of(np.array([True, False, False])) if taken else None,
    )
    return encode(block)


def letter() -> bytes:
    """A dead letter."""
    return encode(
        DeadLetter(
            run=RUN,
            first=FIRST,
            n_frames=1,
            reason="not finite",
            error="BadStructure",
            attempts=2,
            worker="w",
            model="tiny",
            t_failed=3.5,
            original=memoryview(frames()),
        )
    )


def record() -> bytes:
    """The record of a model."""
    return encode(
        ModelRecord(
            name="tiny",
            version=1,
            sha256=MODEL,
            element="Fe",
            edge="K",
            descriptor="{}",
            provider="cpu",
            energy=Array.of(ENERGY),
        )
    )


def insane(data: bytes, rng: Random) -> bytes:
    """A message whose envelope is ours, and whose body is mad in one to three places."""
    try:
        magic, version, kind, body = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return data
    if rng.random() < 0.05:
        return _packed(twisted([magic, version, kind, body], rng))
    return _packed([magic, version, kind, twisted(body, rng)])


def _packed(tree: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(tree)
    except (OverflowError, ValueError, RecursionError):
        return msgspec.msgpack.encode([MAGIC, PROTOCOL_VERSION, "FrameBlock", {}])


def in_a_worker(payload: bytes) -> Batch:
    """A block as a worker takes it from the stream, its arrays looked at."""
    entry = Entry(stream="s", id="1", run=RUN, first=FIRST, n_frames=N, payload=payload)
    (batch,) = batches([Job.of(entry)], 0)
    assert batch.joined
    return batch


def _as_frames(payload: bytes) -> None:
    batch = in_a_worker(payload)
    assert len([*batch.jobs[0].frames()]) == N


def _as_letter(payload: bytes) -> None:
    decode(payload, DeadLetter)
    notices([payload])
    letters_of([payload])


def _as_record(payload: bytes) -> None:
    _ = decode(payload, ModelRecord).energies


def _as_result(payload: bytes) -> None:
    decode(payload, ResultBlock).site_frame.view("<i4", -1)


KINDS: dict[str, Callable[[bytes], None]] = {
    "FrameBlock": _as_frames,
    "ResultBlock": _as_result,
    "DeadLetter": _as_letter,
    "ModelRecord": _as_record,
}


def messages(folder: Path) -> Target:
    """Every kind of message, as its readers read it."""
    del folder

    def look(data: bytes) -> None:
        for read in KINDS.values():
            try:
                read(data)
            except BadMessage:
                continue
            return
        raise BadMessage("none of ours")

    seeds = [frames(), frames(periodic=True), result(), result(taken=True), letter(), record()]
    return Target(look=look, seeds=seeds, insane=insane, words=WORDS)


def structures(folder: Path) -> Target:
    """A producer's block, all the way to its spectra."""
    predictor = Predictor(make_bundle(folder / "tiny"))

    def look(data: bytes) -> None:
        batch = in_a_worker(data)
        predictor.predict(*batch.joined, batch.absorber)

    seeds = [frames(), frames(periodic=True), frames(periodic=True, explicit=False)]
    return Target(look=look, seeds=seeds, insane=insane, words=WORDS)


def answers(folder: Path) -> Target:
    """A worker's answer, up to the rows that the writer makes of it."""
    del folder
    pushed = frames()
    models = {MODEL: UsedModel(0, ENERGY)}

    def look(data: bytes) -> None:
        rows_of([(decode(data, ResultBlock), [pushed])], ENERGY, models, keep_structures=True)

    return Target(look=look, seeds=[result(), result(taken=True)], insane=insane, words=WORDS)


def labels(folder: Path) -> Target:
    """A label, as the trainer takes it in: refused, or kept on disk as it came."""

    def look(data: bytes) -> None:
        label = read_label(data)
        path = archive_segment.write(folder, 0, [label], [row_of(label, 1.5)])
        (kept,) = archive_segment.read_labels_of(path)
        assert (kept.sha256, kept.title) == (label.sha256, label.title)
        assert archive_segment.read_rows(path)

    sites = octahedron()
    crystal = StructureBatch.from_arrays(
        sites.numbers, sites.positions, None, 9.0 * np.eye(3)[None], np.ones((1, 3), bool)
    )
    seeds = [encode(iron_label()), encode(iron_label(structure=crystal, group="oxides"))]
    return Target(look=look, seeds=seeds, insane=insane, words=(*WORDS, b"Label", b"intensity"))
