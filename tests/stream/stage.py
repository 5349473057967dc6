"""A run from producer to file without a model: each spectrum follows from its index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bundles import ENERGY, iron_oxides
from rigs import SPEC

from stream.broker import Completion, Entry, Opened
from stream.codec import Array, encode
from stream.messages import DEAD_LETTERED, PREDICTED, FrameBlock, ModelRecord, ResultBlock, RunSpec
from stream.result_file import RunFile

MODEL = "ab" * 32
EDGE = 1.0 + np.tanh((ENERGY - 7125.0) / 5.0)


def publish(broker: Any, sha256: str = MODEL, *, shift: float = 0.0) -> None:
    record = ModelRecord(
        name="tiny", version=1, sha256=sha256, element="Fe", edge="K", descriptor="{}",
        provider="CPU", energy=Array.of(ENERGY + shift),
    )  # fmt: skip
    broker.publish_model(sha256, encode(record))


def push(broker: Any, opened: Opened, first: int, n: int) -> int:
    """Push frames first .. first + n as one block."""
    block = FrameBlock.of(
        iron_oxides(n, first=first), run=opened.run, first=first, model="tiny", t_pushed=1.0
    )
    return int(broker.push(opened, first, n, encode(block)))


def open_and_push(
    broker: Any, sizes: Sequence[int], run: str = "md", spec: RunSpec = SPEC, run_id: str = "me"
) -> Opened:
    opened: Opened = broker.open_run(run, spec, run_id=run_id, resume=False)
    first = opened.next_index
    for n in sizes:
        first = push(broker, opened, first, n)
    return opened


def spectra(first: int, n: int) -> np.ndarray:
    """(n, n_energy) float32: an edge, higher with each frame."""
    index = np.arange(first, first + n)
    return ((1.0 + index[:, None] / 100.0) * EDGE).astype(np.float32)


def result_of(entry: Entry, *, dead: Sequence[int] = (), model: str = MODEL) -> Completion:
    """A completion; ``dead``: indices in the run. Model "": nothing at all was predicted."""
    index = np.arange(entry.first, entry.first + entry.n_frames)
    lost = np.isin(index, list(dead)) | (not model)
    good = np.flatnonzero(~lost)
    values = spectra(entry.first, entry.n_frames)[good] if model else np.zeros((0, 0), np.float32)
    result = ResultBlock(
        run=entry.run,
        first=entry.first,
        n_frames=entry.n_frames,
        model=model,
        t_predicted=2.0,
        ours=True,
        t_pushed=Array.of(np.ones(entry.n_frames)),
        status=Array.of(np.where(lost, DEAD_LETTERED, PREDICTED).astype(np.uint8)),
        site_frame=Array.of(good.astype("<i4")),
        site_atom=Array.of(np.zeros(len(good), "<i4")),
        intensity=Array.of(values),
        errors=Array.of(values / 10),
        novelty=Array.of(np.ones(len(good), np.float32)),
        reasons={int(i): "bad" for i in np.flatnonzero(lost)},
    )
    letters = [b"letter"] * int(lost.sum())
    return Completion(
        entries=[entry], result=encode(result), dead=letters, n_dead=len(letters), model=model
    )


def work(broker: Any, *, consumer: str = "w", **options: Any) -> list[Entry]:
    """Read and complete whatever is there."""
    entries: list[Entry] = broker.read(consumer, block_s=0)
    broker.complete(consumer, [result_of(e, **options) for e in entries])
    return entries


def assert_rows(path: Path, n: int, dead: Sequence[int] = ()) -> None:
    """Every frame has one row, with its own numbers; the dead have tombstones."""
    lost = np.isin(np.arange(n), list(dead))
    with RunFile(path) as file:
        assert file.n_frames == n
        np.testing.assert_array_equal(file.frame_index, np.arange(n))
        np.testing.assert_array_equal(file.status == DEAD_LETTERED, lost)
        np.testing.assert_array_equal(file.intensity[:][~lost], spectra(0, n)[~lost])
        assert np.isnan(file.intensity[:][lost]).all()
        np.testing.assert_array_equal(file.structures().positions, iron_oxides(n).positions)
        assert [i for i, _ in file.dead_letters] == sorted(dead)
