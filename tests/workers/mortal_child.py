"""The isolated child of the tests: a real model, and structures that make it do its worst."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import cache
from pathlib import Path

from model_store.bundle import open_bundle
from workers.batcher import Batch, Job
from workers.blame import predict_batch
from workers.catalogue import Choice
from workers.isolation import serve_isolated
from workers.outcome import Outcome
from workers.predictor import Predictor
from workers.serving import Serving

KILLS, HANGS, BABBLES, DIES_ONCE = 118, 117, 116, 115


def main(bundle: str, once: str) -> None:
    """``bundle``: the one to predict with; empty: the one that the frame asks for."""

    @cache
    def serving(path: str) -> Serving:
        return Serving(Choice(champion=path), Predictor(open_bundle(Path(path))))

    def predict(job: Job) -> Outcome:
        numbers = set(job.block.structures().numbers.tolist())
        if KILLS in numbers:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANGS in numbers:
            time.sleep(600)
        if BABBLES in numbers:
            os.write(1, b"\x05\x00\x00\x00hello")
        if DIES_ONCE in numbers and not Path(once).exists():
            Path(once).touch()
            os._exit(9)
        batch = Batch(model=job.block.model, absorber=job.block.absorber, jobs=[job])
        return predict_batch(batch, serving(bundle or job.block.model), lambda: None)

    serve_isolated(predict, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
