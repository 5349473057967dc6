"""Moves of an alias while frames stream: what was lost, what made each row, how long it paused.

python tests/delivery/swaps.py [FRAMES [SWAPS]]        prints the table
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from other_versions import other_version
from stand import Stand, moving_frames

from edgestream.models import open_store
from edgestream.prediction import predict
from stream.result_file.reader import RunFile
from xas.structure import StructureBatch


@dataclass
class Swaps:
    """Moves fe-k between versions 1 and 2 of a store until told to stop; notes when."""

    place: Path
    pause_s: float
    most: int
    moved_at: list[tuple[float, int]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Promote 2, roll back to 1, promote 2, ..."""
        store = open_store(self.place)
        while len(self.moved_at) < self.most and not self.over.wait(self.pause_s):
            if store.resolve("fe-k").version == 1:
                store.promote("fe-k", 2)
            else:
                store.rollback("fe-k")
            self.moved_at.append((time.time(), store.resolve("fe-k").version))


def make_store(place: Path) -> None:
    """fe-k@1, which comes with edgestream, and fe-k@2."""
    store = open_store(place)
    store.put(other_version(store.get("fe-k@1"), place.parent / "v2").folder)


def stream_with_swaps(
    stand: Stand,
    frames: StructureBatch,
    place: Path,
    *,
    swaps: int,
    pause_s: float,
    push_pause_s: float = 0.0,
) -> tuple[RunFile, Swaps]:
    """A run of all the frames with two workers, while the alias moves."""
    mover = Swaps(place, pause_s, swaps)
    thread = threading.Thread(target=mover.run)
    stand.start_writer()
    for name in ("w0", "w1"):
        stand.start("worker", name, "--name", name, "--models", str(place))
    stand.wait_for_workers(2)
    with stand.pushing("md", frames, push_pause_s):
        stand.wait("md", lambda state: state.watermark > 200)
        thread.start()
    file = stand.wait_until_finished("md")
    mover.over.set()
    thread.join()
    return file, mover


def assert_rows_are_their_models(file: RunFile, frames: StructureBatch, place: Path) -> list[str]:
    """Each frame has one row, and it is what the model that it names predicts; who made each."""
    assert (file.frame_index == np.arange(len(frames))).all()
    assert (file.status == 1).all()
    named = [f"{model.name}@{model.version}" for model in file.models]
    made_by = [named[i] for i in file.model_index]
    intensity = file.intensity[:]
    for name in dict.fromkeys(made_by):
        own = np.array([i for i, by in enumerate(made_by) if by == name])
        direct = predict(frames.take(own), name, models=place)
        assert np.abs(intensity[own] - direct.intensity).max() < 1e-6
    return made_by


def _table(file: RunFile, mover: Swaps, made_by: list[str]) -> str:
    predicted = file.t_predicted[:]
    gaps = 1000 * np.diff(np.unique(predicted))
    by = np.array([int(name[-1]) for name in made_by])
    ends = [*(at for at, _ in mover.moved_at[1:]), np.inf]
    slowest = {1: 0.0, 2: 0.0}
    for (at, version), end in zip(mover.moved_at, ends, strict=False):
        old = predicted[(by != version) & (predicted > at) & (predicted < end)]
        slowest[version] = max(slowest[version], float(old.max(initial=at)) - at)
    lost = int((file.status != 1).sum())
    doubled = len(predicted) - len(np.unique(file.frame_index))
    batch = len(predicted) / len(gaps)
    return (
        f"{len(predicted):7d} {len(mover.moved_at):6d} {lost:5d} {doubled:8d} {batch:7.0f} "
        f"{np.median(gaps):7.0f} {gaps.max():8.0f} {slowest[2]:11.2f} {slowest[1]:12.2f}"
    )


def main(n_frames: int = 40_000, swaps: int = 10, pause_s: float = 1.5) -> None:
    """Once without a swap, to compare with, and once with.

    gap: between two batches given back, of both workers together. until: the last row of the model
    before, counted from the move; the batch in hand is finished.
    """
    _say(" frames  swaps  lost  doubled  frames/  median  longest  promote to  roll-back to")
    _say("                               batch  gap, ms  gap, ms    until, s      until, s")
    for most in (0, swaps):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "models"
            make_store(place)
            stand = Stand(Path(folder))
            try:
                frames = moving_frames(n_frames)
                file, mover = stream_with_swaps(stand, frames, place, swaps=most, pause_s=pause_s)
                made_by = assert_rows_are_their_models(file, frames, place)
                _say(_table(file, mover, made_by))
            finally:
                stand.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
