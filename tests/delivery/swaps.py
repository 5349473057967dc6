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
    stand: Stand, frames: StructureBatch, place: Path, *, swaps: int, pause_s: float
) -> tuple[RunFile, Swaps]:
    """A run of all the frames with two workers, while the alias moves."""
    mover = Swaps(place, pause_s, swaps)
    thread = threading.Thread(target=mover.run)
    stand.start_writer()
    for name in ("w0", "w1"):
        stand.start("worker", name, "--name", name, "--models", str(place))
    stand.wait_for_workers(2)
    with stand.pushing("md", frames):
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


def _table(file: RunFile, frames: StructureBatch, mover: Swaps, made_by: list[str]) -> str:
    times = np.unique(file.t_predicted[:])
    gaps = 1000 * np.diff(times)
    by = np.array([int(name[-1]) for name in made_by])
    late = []
    for at, version in mover.moved_at:
        later = file.t_predicted[:][(by == version) & (file.t_predicted[:] > at)]
        late += [later.min() - at] if len(later) else []
    return (
        f"{len(frames):7d} {len(mover.moved_at):6d} {int((file.status != 1).sum()):5d} "
        f"{len(frames) - len(np.unique(file.frame_index)):8d} {np.median(gaps):10.1f} "
        f"{gaps.max():11.1f} {max(late, default=0.0):14.2f}"
    )


def main(n_frames: int = 20_000, swaps: int = 20) -> None:
    """Once without a swap, to compare with, and once with."""
    _say(" frames  swaps  lost  doubled  median gap  longest gap  slowest switch")
    _say("                                      ms           ms               s")
    for most in (0, swaps):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "models"
            make_store(place)
            stand = Stand(Path(folder))
            try:
                frames = moving_frames(n_frames)
                file, mover = stream_with_swaps(stand, frames, place, swaps=most, pause_s=1.0)
                made_by = assert_rows_are_their_models(file, frames, place)
                _say(_table(file, frames, mover, made_by))
            finally:
                stand.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
