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
from workers.catalogue import Choice, StoreCatalogue
from workers.isolation import IsolatedPredictor, serve_isolated
from workers.outcome import Outcome
from workers.predictor import Prediction, Predictor
from workers.serving import Serving
from workers.worker import Worker
from xas.structure import Sites, StructureBatch


class CursedPredictor(Predictor):
    def predict(
        self, batch: StructureBatch, sites: Sites | None = None, absorber: str | None = None
    ) -> Prediction:
        if (batch.numbers == 118).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(batch, sites, absorber)


class Cursed(StoreCatalogue):
    def load(self, fixed: str) -> Predictor:
        return CursedPredictor(open_store().get(fixed))


def main() -> None:
    if sys.argv[1:] == ["isolated"]:
        serving = Serving(Choice(champion="fe-k"), CursedPredictor(open_store().get("fe-k")))

        def predict(job: Job) -> Outcome:
            batch = Batch(model="fe-k", absorber=None, jobs=[job])
            return predict_batch(batch, serving, lambda: None)

        serve_isolated(predict, sys.stdin.buffer, sys.stdout.buffer)
        return
    settings = settings_from_options([w for w in sys.argv[2:] if w != "--set"])
    child = IsolatedPredictor([sys.executable, __file__, "isolated"])
    broker = RedisBroker(sys.argv[1], settings)
    worker = Worker(broker, lambda: Cursed(open_store()), isolation=child, settings=settings)
    worker.run(StopSignal().listen())


if __name__ == "__main__":
    main()
