"""``edgestream demo``: a molecule in motion, live, into our own service and onto its page.

The motion is that of the shipped trajectory, replayed, or a dynamics that runs while one looks.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgestream.client import EdgeStream, Run
from edgestream.dashboard.page_options import PageOptions
from edgestream.feeding import Opened, Trajectory
from edgestream.local import LocalService, ServiceOptions
from edgestream.pictures import draw_run
from edgestream.progress import Progress
from edgestream.run_command import Summary, remove_run, summarise

TRAJECTORY = "butadiene_iron_tricarbonyl_400K.extxyz"
RUN = "demo"
TITLE = "(butadiene)Fe(CO)3 at 400 K, GFN2-xTB"


@dataclass(frozen=True, kw_only=True)
class DemoRequest:
    """What ``edgestream demo`` was asked for.

    live    run the dynamics here instead of replaying one, until stopped
    frames  end after so many; None: after the shipped trajectory, or live never
    """

    out: Path
    frames_per_s: float
    page: PageOptions | None
    live: bool = False
    frames: int | None = None


def demo_trajectory() -> Path:
    """The trajectory that comes with edgestream: made by ``edgestream.demo.make_trajectory``."""
    return Path(str(resources.files("edgestream") / "demo" / TRAJECTORY))


def run_demo(
    request: DemoRequest, progress: Progress, stop: threading.Event
) -> tuple[Summary, Path]:
    """Push frame by frame as a dynamics would, wait for the file, draw it."""
    live = request.live and has_dynamics(progress.tell)
    out = request.out
    out.mkdir(parents=True, exist_ok=True)
    remove_run(out / f"{RUN}.h5")
    started = time.monotonic()
    service = LocalService(ServiceOptions(out=out, page=request.page), tell=progress.tell)
    with EdgeStream(service.start()) as es:
        progress.tell(f"live on an embedded server; open {out / RUN}.h5 in any viewer meanwhile")
        with es.run(RUN, time_units="fs", title=TITLE) as run:
            pushed = _dynamics(run) if live else _replay(run, request.frames_per_s, stop)
            _show(run, pushed, request.frames, service.watch, progress, stop)
        with run.result() as file:
            path = file.path
    summary = summarise(path, time.monotonic() - started, run.next_index)
    picture = path.with_suffix(".png")
    draw_run(path, picture)
    return summary, picture


def _show(
    run: Run,
    pushed: Iterator[int | None],
    frames: int | None,
    watch: Callable[[], None],
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Let frames be pushed until there are enough; each step says how many there will be."""
    for total in pushed:
        watch()
        state = run.state()
        backlog = state.next_index - state.watermark
        progress.update(state.watermark, frames or total, f"backlog {backlog}")
        if stop.is_set() or run.next_index == frames:
            return


def _replay(run: Run, frames_per_s: float, stop: threading.Event) -> Iterator[int | None]:
    opened = Opened(Trajectory(path=str(demo_trajectory())))
    started = time.monotonic()
    for chunk in opened:
        for i, structure in enumerate(chunk.structures):
            times = None if chunk.times_fs is None else chunk.times_fs[i : i + 1]
            run.push(structure, times=times)
            stop.wait(max(0.0, started + run.next_index / frames_per_s - time.monotonic()))
            yield opened.n_frames_hint


def _dynamics(run: Run) -> Iterator[int | None]:
    """From the first frame of the shipped trajectory on, with velocities of its own every time."""
    import numpy as np
    from ase.io import read
    from tblite.ase import TBLite

    from edgestream.demo import make_trajectory as recipe

    atoms: Any = read(demo_trajectory(), 0)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    random = np.random.default_rng()
    recipe.thermalise(atoms, random)
    langevin = recipe.langevin_of(atoms, random)
    while True:
        run.push(atoms, times=run.next_index * recipe.STEPS_A_FRAME * recipe.STEP_FS)
        yield None
        langevin.run(recipe.STEPS_A_FRAME)


def has_dynamics(tell: Callable[[str], None]) -> bool:
    """Whether GFN2-xTB can run here; says what to do where it cannot."""
    if importlib.util.find_spec("tblite") is not None:
        return True
    tell(
        "tblite is not installed, so the shipped trajectory is replayed instead of a dynamics: "
        "pip install 'edgestream[demo-input]'"
    )
    return False
