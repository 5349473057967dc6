"""``edgestream demo``: the shipped trajectory, replayed at a live pace into our own service."""

from __future__ import annotations

import threading
import time
from importlib import resources
from pathlib import Path

from edgestream.client import Run, connect
from edgestream.feeding import Opened, Trajectory
from edgestream.pictures import draw_run
from edgestream.progress import Progress
from edgestream.run_command import Summary, remove_run, summarise

TRAJECTORY = "butadiene_iron_tricarbonyl_400K.extxyz"
RUN = "demo"


def demo_trajectory() -> Path:
    """The trajectory that comes with edgestream: made by ``edgestream.demo.make_trajectory``."""
    return Path(str(resources.files("edgestream") / "demo" / TRAJECTORY))


def run_demo(
    out: Path, frames_per_s: float, progress: Progress, stop: threading.Event
) -> tuple[Summary, Path]:
    """Push frame by frame as a dynamics would, wait for the file, draw it."""
    out.mkdir(parents=True, exist_ok=True)
    remove_run(out / f"{RUN}.h5")
    started = time.monotonic()
    with connect(out=out) as es:
        progress.tell(f"live on an embedded server; open {out / RUN}.h5 in any viewer meanwhile")
        with es.run(RUN, time_units="fs", title="(butadiene)Fe(CO)3 at 400 K, GFN2-xTB") as run:
            _replay(run, frames_per_s, progress, stop)
        with run.result() as file:
            path = file.path
    summary = summarise(path, time.monotonic() - started, run.next_index)
    picture = path.with_suffix(".png")
    draw_run(path, picture)
    return summary, picture


def _replay(run: Run, frames_per_s: float, progress: Progress, stop: threading.Event) -> None:
    opened = Opened(Trajectory(path=str(demo_trajectory())))
    total, started = opened.n_frames_hint, time.monotonic()
    for chunk in opened:
        for i, structure in enumerate(chunk.structures):
            times = None if chunk.times_fs is None else chunk.times_fs[i : i + 1]
            run.push(structure, times=times)
            if stop.wait(max(0.0, started + run.next_index / frames_per_s - time.monotonic())):
                return
            state = run.state()
            progress.update(state.watermark, total, f"backlog {state.next_index - state.watermark}")
