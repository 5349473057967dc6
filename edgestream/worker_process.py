"""The worker as a process, and the child in which it tries suspicious frames."""

from __future__ import annotations

import os
import sys

from edgestream.attendance import connected, stop_signal
from edgestream.models import load_predictor, open_store
from edgestream.recorders import recorder_of
from stream.service import say
from stream.settings import Settings
from stream.url_secrets import shown
from workers.batcher import Batch, Job
from workers.blame import predict_batch
from workers.catalogue import Choice, StoreCatalogue
from workers.isolation import IsolatedPredictor, serve_isolated
from workers.outcome import Outcome
from workers.serving import Serving
from workers.worker import Worker


def run_worker(
    url: str,
    *,
    device: str,
    models: str | None,
    name: str,
    metrics: str | None = None,
    settings: Settings,
    follow_parent: bool,
) -> None:
    """One worker until stopped. Reject where the device or the server cannot be used at all."""
    stop = stop_signal(follow_parent=follow_parent)
    recorder = recorder_of("worker", metrics)
    broker = connected(url, settings, stop)
    child = [sys.executable, "-m", "edgestream.child", "isolated", "--device", device]
    if models is not None:
        child += ["--models", str(models)]
    worker = Worker(
        broker,
        lambda: StoreCatalogue(open_store(models), device),
        isolation=IsolatedPredictor(child),
        name=name,
        device=device,
        settings=settings,
        recorder=recorder,
    )
    say(f"{worker.name}: at work on {shown(url)}")
    worker.run(stop)
    broker.close()


def run_isolated(*, device: str, models: str | None) -> None:
    """The child in which a worker tries suspicious frames: frames in, results out."""

    def predict(job: Job) -> Outcome:
        fixed = job.block.model  # the worker says which version
        serving = Serving(Choice(champion=fixed), load_predictor(fixed, models, device))
        batch = Batch(model=fixed, absorber=job.block.absorber, jobs=[job])
        return predict_batch(batch, serving, lambda: None)

    # whatever a library prints must not end up among the answers
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve_isolated(predict, sys.stdin.buffer, answers)
