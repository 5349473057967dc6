"""Finding the guilty frame: innocents never pay for their neighbour.

A batch that fails is halved until single frames remain. A frame that fails alone is tried once
more; only if it fails again, while the model's own check input still passes, is it to blame.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.broker import Entry
from stream.codec import encode
from stream.messages import FrameBlock
from workers.batcher import Batch, Job
from workers.isolation import ChildFailed, IsolatedPredictor
from workers.outcome import Failure, Outcome
from workers.predictor import Predictor
from workers.serving import Serving
from xas.errors import Stop, WorkerUnfit
from xas.structure import Sites

ATTEMPTS = 2


def predict_batch(batch: Batch, serving: Serving, beat: Callable[[], None]) -> Outcome:
    """What became of the batch's frames. ``beat`` is called before each attempt."""
    beat()
    try:
        return serving.predict(batch)
    except Stop:
        raise
    except Exception:  # noqa: BLE001 - whatever a frame may raise, it is caught and named
        if batch.n_frames == 1:
            beat()
            return _last_chance(batch, serving)
    return Outcome.join([predict_batch(half, serving, beat) for half in batch.halves()])


def _last_chance(batch: Batch, serving: Serving) -> Outcome:
    try:
        return serving.predict(batch)
    except Stop:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        serving.champion.check()
        return Outcome.failed(1, _failure(error))


def _failure(error: Exception) -> Failure:
    return Failure(str(error) or type(error).__name__, type(error).__name__, ATTEMPTS)


def predict_alone(
    job: Job, isolated: IsolatedPredictor, serving: Serving, beat: Callable[[], None]
) -> Outcome:
    """An entry that somebody failed on before: frame by frame in a child process."""
    return Outcome.join([_frame_alone(frame, isolated, serving, beat) for frame in job.frames()])


def _frame_alone(
    frame: Job, isolated: IsolatedPredictor, serving: Serving, beat: Callable[[], None]
) -> Outcome:
    fixed, predictor = serving.alone(frame)
    frame = frame.with_model(fixed)  # the child must not ask the store what an alias stands for
    for attempt in range(ATTEMPTS):
        try:
            return serving.made_by(predictor, isolated.predict(frame, beat))
        except ChildFailed as error:
            if attempt + 1 == ATTEMPTS:
                predictor.check()
                _check_child(isolated, predictor, fixed, beat)
                return Outcome.failed(1, _failure(error))
    raise AssertionError("unreachable")


def _check_child(
    isolated: IsolatedPredictor, predictor: Predictor, model: str, beat: Callable[[], None]
) -> None:
    """WorkerUnfit where the child fails on the model's own check input too."""
    check = predictor.bundle.check()
    own = check.sites.structure == 0
    block = FrameBlock.of(
        check.batch[:1],
        run="check",
        first=0,
        model=model,
        t_pushed=0.0,
        sites=Sites(check.sites.structure[own], check.sites.atom[own]),
    )
    entry = Entry(stream="", id="", run="check", first=0, n_frames=1, payload=encode(block))
    try:
        failures = isolated.predict(Job.of(entry), beat).failures
    except ChildFailed as error:
        raise WorkerUnfit(
            f"the child process that tries suspicious frames fails on the check input of {model} "
            f"too: {error}: this worker is at fault, not the frames"
        ) from None
    if failures:
        raise WorkerUnfit(f"the child process refuses the check input of {model}: {failures[0]}")
