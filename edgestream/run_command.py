"""``edgestream run``: a trajectory in, a result file out, on this machine."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgestream.client import file_of
from edgestream.feeding import Opened, Trajectory, feed, require_absorber, require_as_many
from edgestream.local import LocalService, ServiceOptions
from edgestream.models import open_store
from edgestream.progress import Progress
from edgestream.recorders import recorder_of
from edgestream.watcher import ADOPTION_TIMEOUT_S, Watcher, nobody_writes, require_taken_on
from stream.dead_letters import ANSWERS, LETTERS
from stream.messages import RunSpec, check_run_name
from stream.producer import Producer
from stream.result_file.reader import RunFile
from stream.service import StopSignal
from xas.edges import atomic_number
from xas.errors import BadTrajectory, OutputExists, Reject, RunRefused
from xas.structure import StructureBatch

SAMPLED_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What ``edgestream run`` was asked for."""

    trajectory: Trajectory
    out: Path
    spec: RunSpec
    service: ServiceOptions
    resume: bool = False
    overwrite: bool = False

    @property
    def run(self) -> str:
        """The run's name: that of the file."""
        return self.out.name.removesuffix(".h5")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What ``edgestream run`` says at its end; uncertainty: percent of the spectrum, one sigma."""

    file: str
    frames: int
    sites: int
    dead_letters: int
    seconds: float
    frames_per_s: float
    median_uncertainty_percent: float | None
    model: str
    interrupted: bool
    fault: str
    first_reasons: list[str]


def run_trajectory(request: RunRequest, progress: Progress, stop: StopSignal) -> Summary:
    """Predict a trajectory through a service of our own (or a running one) and wait for the file.

    Stopped early, it drains what was accepted and finishes the file. Raises Reject for bad input
    before anything is written; a trajectory that breaks off is reported in the summary.
    """
    check_output(request)
    manifest = open_store(request.service.models).get(request.spec.model).manifest
    trajectory = request.trajectory
    wanted = request.spec.absorber or manifest.element
    if wanted != manifest.element:
        raise Reject(f"--absorber {wanted}: {manifest.name} predicts {manifest.element}")
    require_absorber(trajectory, atomic_number(manifest.element))
    opened = Opened(trajectory, stop=stop)
    opened.require_frames()
    if request.overwrite:
        remove_run(request.out)
    started = time.monotonic()
    spec = msgspec.structs.replace(
        request.spec, time_units=opened.time_units, selection=trajectory.selection
    )
    with LocalService(request.service, tell=progress.tell) as service:
        progress.tell(f"run {request.run!r}: {service.shown_url}")
        watcher = Watcher(service, request.run, progress, stop)
        producer = Producer(
            service.broker,
            request.run,
            spec,
            settings=request.service.settings,
            resume=request.resume,
            deadline_s=None,
            tell=progress.tell,
            sleep=watcher.sleep,
            recorder=recorder_of("producer", None),
        )
        if request.resume:  # only its file knows how far the run has come
            producer.next_index = adopted_index(service, producer, stop)
        skipped = producer.next_index
        if skipped:
            progress.tell(f"run {request.run!r}: {skipped} frames are there; going on")
            opened.close()
            opened = Opened(trajectory, first=skipped)
            if opened.is_empty:  # the file may have grown by what lay in its segments
                require_as_many(trajectory, skipped, str(request.out))
        if opened.n_frames_hint is not None:
            watcher.total = opened.n_frames_hint + skipped
        fault = ""
        try:
            complete = feed(opened, trajectory, producer, stop, watcher.look)
        except BadTrajectory as error:
            fault, complete = str(error), False
        if stop.is_set() and producer.next_index == 0:
            raise KeyboardInterrupt
        if stop.is_set():
            progress.tell("stopping: what was accepted is finished first; --resume goes on later")
        sealed = producer.seal(interrupted=not complete)
        state = watcher.wait_until_finished()
    path = file_of(state)
    seconds = time.monotonic() - started
    return replace(
        summarise(path, seconds, sealed - skipped), interrupted=not complete, fault=fault
    )


def check_output(request: RunRequest) -> None:
    """OutputExists or RunRefused for a file that cannot be written, before anything is done."""
    out = request.out
    if out.suffix != ".h5":
        raise RunRefused(f"-o {out}: result files end in .h5")
    check_run_name(request.run)
    if request.resume:
        request.trajectory.require_repeatable()
    if out.exists() and not (request.resume or request.overwrite):
        raise OutputExists(f"{out} exists: --resume goes on with it, --overwrite replaces it")
    if request.resume and out.exists():
        with RunFile(out) as file:
            if file.sealed:
                raise OutputExists(f"{out} is complete with {file.n_frames} frames")
            require_same(request.trajectory, file)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.parent / f".{out.name}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Reject(f"{out.parent} cannot be written: {error.strerror}") from None


def require_same(trajectory: Trajectory, file: RunFile) -> None:
    """RunRefused where the last frame of a file is not that frame of the trajectory.

    Another selection of frames is refused by the writer, which says what was asked for before.
    """
    requested = msgspec.json.decode(file.header.extra.get("requested", "{}"))
    same_selection = requested.get("selection", "") == trajectory.selection
    if not same_selection or file.n_frames == 0:
        return
    last = file.n_frames - 1
    given = require_as_many(trajectory, file.n_frames, str(file.path))
    if file.header.keep_structures and not _agree(file.structures(slice(last, None)), given):
        raise RunRefused(
            f"frame {last} of {trajectory.path} is another structure than in {file.path}: not the "
            "trajectory this run was begun with"
        )


def _agree(kept: StructureBatch, given: StructureBatch) -> bool:
    """Whether atoms and positions do, within float32; an unreadable frame has kept none."""
    if not kept.n_atoms:
        return True
    return np.array_equal(kept.numbers, given.numbers) and np.allclose(
        kept.positions, given.positions, rtol=1e-6, atol=1e-6, equal_nan=True
    )


def remove_run(out: Path) -> None:
    """Remove a result file, its segments and its dead letters."""
    for ending in (".h5", LETTERS, ANSWERS):
        out.with_name(out.name.removesuffix(".h5") + ending).unlink(missing_ok=True)
    shutil.rmtree(out.with_name(out.name.removesuffix(".h5") + ".segments"), ignore_errors=True)


def adopted_index(service: LocalService, producer: Producer, stop: StopSignal) -> int:
    """Wait until the writer has taken the run on; the first frame that it lacks."""
    end = time.monotonic() + ADOPTION_TIMEOUT_S
    while time.monotonic() < end:
        if stop.is_set():
            raise KeyboardInterrupt
        service.watch()
        state = service.broker.run(producer.run)
        if state is not None and require_taken_on(state):
            return max(state.next_index, producer.next_index)
        time.sleep(0.01)
    raise nobody_writes(producer.run)


def summarise(path: Path, seconds: float, new_frames: int) -> Summary:
    """Read the finished file; the median uncertainty is taken over at most 10,000 of its frames."""
    with RunFile(path) as file:
        part = slice(None, None, max(1, len(file) // SAMPLED_ROWS))
        intensity, errors = file.intensity[part], file.errors[part]
        dead = file.dead_letters
        models = ", ".join(f"{m.name}@{m.version}" for m in file.models)
        return Summary(
            file=str(path),
            frames=len(file),
            sites=len(file.sites.frame),
            dead_letters=len(dead),
            seconds=seconds,
            frames_per_s=new_frames / seconds,
            median_uncertainty_percent=median_uncertainty(intensity, errors),
            model=models,
            interrupted=file.interrupted,
            fault="",
            first_reasons=[f"frame {index}: {why}" for index, why in dead[:3]],
        )


def median_uncertainty(intensity: Any, errors: Any) -> float | None:
    """100 * sum(errors) / sum(intensity) of each spectrum, the median; None where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = 100.0 * np.asarray(errors).sum(axis=1) / np.asarray(intensity).sum(axis=1)
    share = share[np.isfinite(share)]
    return float(np.median(share)) if len(share) else None
