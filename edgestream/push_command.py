"""``edgestream push``: a trajectory into a running service."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec

from edgestream.feeding import Opened, Trajectory, feed, require_as_many
from edgestream.models import open_store
from edgestream.progress import Progress
from edgestream.recorders import recorder_of
from model_store.aliases import CHAMPION
from stream.forwarding import Policy
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.settings import Settings
from stream.spool import recorded_spec
from xas.errors import BadTrajectory, Reject, RightsMissing, StoreUnreachable, UnknownModel

SETTLE_PAUSE_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What ``edgestream push`` says at its end."""

    run: str
    frames: int
    new_frames: int
    seconds: float
    sealed: bool
    fault: str


def push_trajectory(
    trajectory: Trajectory,
    run: str,
    spec: RunSpec,
    *,
    url: str,
    settings: Settings,
    resume: bool,
    policy: str,
    spool: Path | None,
    progress: Progress,
    stop: threading.Event,
    metrics: str | None = None,
) -> Pushed:
    """Push until the end of the file, and seal; interrupted, the run stays open for --resume.

    ServerUnreachable at once where no server answers; later it is waited for. With a spool it ends
    when every frame is in the result file, or when stopped: the spool keeps what is not.
    """
    if policy not in get_args(Policy):
        raise Reject(f"--policy {policy!r} is none of {', '.join(get_args(Policy))}")
    follows = resume and spool is not None and trajectory.is_pipe  # what was accepted, and is kept
    if resume and not follows:
        trajectory.require_repeatable()
    broker = RedisBroker(url, settings)
    broker.check_version()
    opened = Opened(trajectory, stop=stop)
    if not follows:
        opened.require_frames()
    units = opened.time_units
    if opened.is_empty and spool is not None:  # a pipe with nothing new: only the spool is emptied
        units = recorded_spec(spool, run, spec).time_units
    if doubt := doubt_about(spec.model, broker):
        progress.tell(doubt)
    started = time.monotonic()
    producer = Producer(
        broker,
        run,
        msgspec.structs.replace(spec, time_units=units, selection=trajectory.selection),
        settings=settings,
        resume=resume,
        policy=policy,  # type: ignore[arg-type]
        spool=spool,
        tell=progress.tell,
        recorder=recorder_of("producer", metrics),
    )
    skipped = producer.next_index
    if skipped and not follows:
        opened.close()
        opened = Opened(trajectory, first=skipped)
        if opened.is_empty:
            require_as_many(trajectory, skipped, f"run {run!r}")
    hint = opened.n_frames_hint

    def show() -> None:
        progress.update(producer.next_index, None if hint is None else hint + skipped)

    fault, complete = "", False
    try:
        complete = feed(opened, trajectory, producer, stop, show)
    except BadTrajectory as error:
        fault = str(error)
    if complete or fault:
        producer.seal(interrupted=not complete)
        while not producer.settle() and not stop.wait(SETTLE_PAUSE_S):
            progress.update(producer.next_index, None, "waiting for the result file")
    producer.close()
    broker.close()
    return Pushed(
        run=run,
        frames=producer.next_index,
        new_frames=producer.next_index - skipped,
        seconds=time.monotonic() - started,
        sealed=complete,
        fault=fault,
    )


def doubt_about(model: str, broker: RedisBroker) -> str:
    """Why all frames may become dead letters; empty where the model is known, or nobody can tell.

    Workers may have models that are not here, and producers may be forbidden to ask about workers.
    """
    if os.sep in model:
        return ""
    name, _, which = model.partition("@")
    try:
        open_store().resolve(name, which or CHAMPION)
    except UnknownModel as error:
        unknown = str(error)
    except StoreUnreachable:
        return ""
    else:
        return ""
    try:
        used = {m.partition("@")[0] for worker in broker.workers() for m in worker.models}
    except RightsMissing:
        return ""
    if name in used:
        return ""
    return f"{unknown}; nor has a worker used it yet: frames of an unknown model are dead letters"
