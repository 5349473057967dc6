"""The long-lived processes: worker, writer, and the service of one machine."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from edgestream.local import LocalService, ServiceOptions
from edgestream.models import load_predictor
from stream.redis_broker import RedisBroker
from stream.service import Patience, StopSignal, say
from stream.settings import Settings
from stream.writer import Writer
from workers.batcher import Batch, Job
from workers.blame import predict_batch
from workers.isolation import IsolatedPredictor, serve_isolated
from workers.outcome import Outcome
from workers.worker import Worker
from xas.errors import Fenced, ServerUnreachable


def run_worker(
    url: str,
    *,
    device: str,
    models: Path | None,
    name: str,
    settings: Settings,
    follow_parent: bool,
) -> None:
    """One worker until stopped. Reject where the device or the server cannot be used at all."""
    stop = stop_signal(follow_parent=follow_parent)
    broker = connected(url, settings, stop)
    child = [sys.executable, "-m", "edgestream", "isolated", "--device", device]
    if models is not None:
        child += ["--models", str(models)]
    worker = Worker(
        broker,
        lambda reference: load_predictor(reference, models, device),
        isolation=IsolatedPredictor(child),
        name=name,
        device=device,
        settings=settings,
    )
    say(f"{worker.name}: at work on {url}")
    worker.run(stop)
    broker.close()


def run_isolated(*, device: str, models: Path | None) -> None:
    """The child in which a worker tries suspicious frames: frames in, results out."""

    def predict(job: Job) -> Outcome:
        predictor = load_predictor(job.block.model, models, device)
        batch = Batch(model=job.block.model, absorber=job.block.absorber, jobs=[job])
        return predict_batch(batch, predictor, lambda: None)

    # whatever a library prints must not end up among the answers
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve_isolated(predict, sys.stdin.buffer, answers)


def run_writer(url: str, out: Path, *, shard: int, settings: Settings, follow_parent: bool) -> None:
    """One writer until stopped; waits for a shard whose last writer died a moment ago."""
    stop = stop_signal(follow_parent=follow_parent)
    broker = connected(url, settings, stop)
    patience = Patience(f"writer of {out}", stop.wait, longest_s=1.0)
    while not stop.is_set():
        try:
            writer = Writer(broker, out, shard=shard, settings=settings)
        except Fenced as error:
            if patience.waited_s > 2 * settings.lease_s:
                raise  # its holder lives: there is nothing to wait for
            patience.wait(error)
        else:
            say(f"writing into {out.resolve()}")
            writer.run(stop)
            break
    broker.close()


def run_service(options: ServiceOptions) -> None:
    """Everything on one machine until stopped; then what was accepted is drained."""
    stop = StopSignal().listen()
    with LocalService(options) as service:
        own = service.server
        address = own.tcp_url if own is not None and own.port else service.url
        announced = False
        while not stop.wait(0.25 if announced else 0.05):
            service.watch()
            if not announced and service.is_ready():
                say(f"serving on {address}, files in {options.out}; stop with Ctrl-C")
                say(f"push with: edgestream push md.extxyz --run NAME --redis-url {address}")
                announced = True
        say("stopping: what was accepted is finished first")


def stop_signal(*, follow_parent: bool) -> StopSignal:
    """Listens to signals and, as a child of ours, to the end of standard input."""
    stop = StopSignal().listen()
    return stop.follow_parent() if follow_parent else stop


def connected(url: str, settings: Settings, stop: threading.Event) -> RedisBroker:
    """A broker on a server that answers; waits for one that is not up yet."""
    broker = RedisBroker(url, settings)
    patience = Patience(url, stop.wait)
    while True:
        try:
            broker.check_version()
        except ServerUnreachable as error:
            if stop.is_set():
                raise
            patience.wait(error)
        else:
            patience.over()
            return broker
