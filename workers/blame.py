"""Finding the guilty frame: innocents never pay for their neighbour.

A batch that fails is halved until single frames remain. A frame that fails alone is tried once
more; only if it fails again, while the model's own check input still passes, is it to blame.
"""

from __future__ import annotations

from collections.abc import Callable

from workers.batcher import Batch, Job
from workers.isolation import ChildFailed, IsolatedPredictor
from workers.outcome import Failure, Outcome
from workers.predictor import Predictor
from xas.errors import Stop

ATTEMPTS = 2


def predict_batch(batch: Batch, predictor: Predictor, beat: Callable[[], None]) -> list[Outcome]:
    """One outcome a job, in their order. ``beat`` is called between attempts that take long."""
    try:
        return _predict(batch, predictor).split(batch.sizes)
    except Stop:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a frame may raise, it is caught and named
        beat()
        if sum(batch.sizes) == 1:
            return [_last_chance(batch, predictor, error)]
    first, second = (predict_batch(half, predictor, beat) for half in batch.halves())
    outcomes = first + second
    return outcomes if len(batch.jobs) > 1 else [Outcome.join(outcomes)]


def _predict(batch: Batch, predictor: Predictor) -> Outcome:
    structures, sites = batch.joined()
    prediction = predictor.predict(structures, sites, batch.absorber)
    return Outcome.of(prediction, len(structures), predictor.bundle.sha256)


def _last_chance(batch: Batch, predictor: Predictor, first_error: Exception) -> Outcome:
    try:
        return _predict(batch, predictor)
    except Stop:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        predictor.check()
        return Outcome.failed(1, _failure(error or first_error))


def _failure(error: Exception) -> Failure:
    return Failure(str(error) or type(error).__name__, type(error).__name__, ATTEMPTS)


def predict_alone(
    job: Job, isolated: IsolatedPredictor, predictor: Predictor, beat: Callable[[], None]
) -> Outcome:
    """An entry that somebody failed on before: frame by frame in a child process."""
    return Outcome.join([_frame_alone(frame, isolated, predictor, beat) for frame in job.frames()])


def _frame_alone(
    frame: Job, isolated: IsolatedPredictor, predictor: Predictor, beat: Callable[[], None]
) -> Outcome:
    for attempt in range(ATTEMPTS):
        beat()
        try:
            return isolated.predict(frame)
        except ChildFailed as error:
            if attempt + 1 == ATTEMPTS:
                predictor.check()
                return Outcome.failed(1, _failure(error))
    raise AssertionError("unreachable")
