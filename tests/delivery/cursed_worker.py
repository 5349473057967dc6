"""A worker that dies, as by a fault of a library, when a structure holds oganesson."""

from __future__ import annotations

import os
import signal
import sys

from edgestream.models import open_store
from edgestream.settings_words import settings_from_options
from stream.redis_broker import RedisBroker
from stream.service import StopSignal
from workers.batcher import Batch, Job
from workers.blame import predict_batch
from workers.isolation import IsolatedPredictor, serve_isolated
from workers.outcome import Outcome
from workers.predictor import Prediction, Predictor
from workers.worker import Worker
from xas.structure import Sites, StructureBatch


class CursedPredictor(Predictor):
    def predict(
        self, batch: StructureBatch, sites: Sites | None = None, absorber: str | None = None
    ) -> Prediction:
        if (batch.numbers == 118).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(batch, sites, absorber)


def load(reference: str) -> Predictor:
    return CursedPredictor(open_store().get(reference))


def main() -> None:
    if sys.argv[1:] == ["isolated"]:
        predictor = load("fe-k")

        def predict(job: Job) -> Outcome:
            batch = Batch(model="fe-k", absorber=None, jobs=[job])
            return predict_batch(batch, predictor, lambda: None)

        serve_isolated(predict, sys.stdin.buffer, sys.stdout.buffer)
        return
    settings = settings_from_options([w for w in sys.argv[2:] if w != "--set"])
    child = IsolatedPredictor([sys.executable, __file__, "isolated"])
    broker = RedisBroker(sys.argv[1], settings)
    Worker(broker, load, isolation=child, settings=settings).run(StopSignal().listen())


if __name__ == "__main__":
    main()
