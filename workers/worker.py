"""A worker: takes blocks from the stream, predicts them in batches, gives results back."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from stream.broker import Entry, UnpublishedModel, WorkerBroker, WorkerState
from stream.codec import encode
from stream.log import Words, facts
from stream.messages import DeadLetter
from stream.recorder import Predicted, Recorder
from stream.service import is_due, run_until_stopped, say
from stream.settings import Settings
from workers.answer import Answer
from workers.batcher import Batch, Job, batches
from workers.blame import predict_alone, predict_batch
from workers.catalogue import Catalogue
from workers.isolation import IsolatedPredictor
from workers.models import Models, Watch
from workers.obituaries import Obituaries
from workers.outcome import Failure, Outcome
from workers.run_models import RunModels
from workers.serving import Serving
from workers.shadow import Shadow
from xas.errors import BadMessage, BadModel, Retry, UnknownModel, WorkerUnfit

BYTES_PER_ATOM = 13  # on the wire: one for the element, twelve for the position
REPORT_INTERVAL_S = 2.0
GATHER_S = 0.002
FEW_FRAMES = 32  # with fewer, what a batch costs whatever is in it weighs more than its frames
LIVE_S = 10.0  # without a live frame, after which bulk is predicted in whole batches again
FORGOTTEN_AFTER_S = 3600.0  # of silence, a worker that was killed is removed from the server


class Worker:
    """One worker of the group; its name is unique for every start.

    ``open_catalogue`` opens the place where models are found, once for each thread. ``isolation``
    predicts frames of entries that an earlier worker did not finish.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        open_catalogue: Callable[[], Catalogue],
        *,
        isolation: IsolatedPredictor,
        name: str = "worker",
        device: str = "cpu",
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder or Recorder()
        self.name = f"{socket.gethostname()}.{name}.{uuid.uuid4().hex[:8]}"
        self._broker, self._open_catalogue = broker, open_catalogue
        self._isolation, self._device = isolation, device
        self._settings, self._clock, self._sleep = settings or Settings(), clock, sleep
        self.models = Models(open_catalogue(), tell=self._tell, clock=clock)
        self._runs = RunModels(broker, self._serving, self._publish_new, self._tell, clock)
        self._shadow = Shadow()
        self._obituaries = Obituaries(self._tell, clock)
        self._published: set[str] = set()
        self._may_hold_unseen = True
        self._next_claim = self._next_report = self._next_beat = self._next_sweep = 0.0
        self._frames = self._sites = self._failures = 0
        self._busy_s = 0.0
        self._in_hand = 0
        self._live_at = -LIVE_S
        self._held: list[Entry] = []  # bulk, and the live frames that are served meanwhile

    def run(self, stop: threading.Event) -> None:
        """Work until stopped; the batch in hand is finished, and the consumer removed."""
        watch = Watch(self.models, self._open_catalogue, self._settings.alias_look_s)
        watch.start()
        fit = True
        try:
            run_until_stopped(self.step, stop, name=self.name)
        except WorkerUnfit:
            fit = False  # its last word is for those who look at the service
            raise
        finally:
            watch.stop()
            self._isolation.close()
            if fit:
                self._leave()

    def _leave(self) -> None:
        try:
            self._count_shadows()
            self._broker.leave(self.name)
        except Retry as error:
            say(f"{self.name}: left without saying so: {error}")

    def step(self, block_s: float = 0.2) -> int:
        """One batch; how many entries it had. Raises WorkerUnfit after giving the entries back."""
        try:
            self._report()
            self._let_gather()
            entries = self._take(0.0 if self._shadow.waits else block_s)
            self._in_hand = sum(e.n_frames for e in entries)
            started = self._clock()
            self._work(entries)
            self._busy_s += self._clock() - started
            if not entries:
                self._shadow.step()
        except Retry:
            # a reply may have been lost on the way: what it held is pending on us
            self._may_hold_unseen = True
            raise
        return len(entries)

    # -- taking -----------------------------------------------------------------------------------

    def _let_gather(self) -> None:
        """Wait a moment where live frames come faster than they can be served one by one.

        A batch of one costs half as much as one of sixteen: who takes each frame as it comes uses a
        core for it, and producer, server and writer wait for theirs (record 15).
        """
        if 1 < self._in_hand < FEW_FRAMES:
            self._sleep(GATHER_S)

    def _take(self, block_s: float) -> list[Entry]:
        if self._may_hold_unseen:
            unseen = self._broker.pending(self.name)
            if unseen:
                return unseen
            self._may_hold_unseen = False
        interval_s = self._settings.claim_idle_s / 4
        if is_due(self._next_claim, self._clock(), interval_s):
            self._next_claim = self._clock() + interval_s
            claimed = self._broker.claim(self.name)
            if claimed:
                self._next_claim = 0.0
                return claimed
        # one read, greedy: who went on reading what arrives meanwhile would keep the first waiting
        return self._broker.read(self.name, block_s=block_s, enough_bytes=self._enough_bytes)

    @property
    def _enough_bytes(self) -> int:
        return self._settings.batch_atoms * BYTES_PER_ATOM

    # -- predicting -------------------------------------------------------------------------------

    def _work(self, entries: Sequence[Entry]) -> None:
        started = self._clock()
        self._recorder.received(entries)
        if any(e.priority == "live" for e in entries):
            self._live_at = started
        before = len(self._held)
        self._held += entries
        try:
            for entry in (e for e in entries if not e.run):
                self._bury(entry)
            jobs = [job for e in entries if e.run and (job := self._decode(e)) is not None]
            self._recorder.queued([j.block for j in jobs if not j.entry.again], started)
            for job in (j for j in jobs if j.entry.deliveries > 1):
                if self._is_sound(job):
                    self._finish_alone(job)
            first_time = [j for j in jobs if j.entry.deliveries == 1]
            references = self._references(first_time)
            known = [j for j in first_time if references[j.block.run, j.block.model]]
            for batch in batches(known, self._settings.batch_atoms, references):
                self._finish(self._sound(batch))
        except WorkerUnfit as error:
            self._broker.release(self.name, entries)
            self._report(str(error))
            raise
        finally:
            del self._held[before:]

    def _decode(self, entry: Entry) -> Job | None:
        try:
            return Job.of(entry)
        except BadMessage as error:
            self._complete([Answer.unreadable(entry, error)])
            return None

    def _sound(self, batch: Batch) -> Batch:
        """The batch, without jobs whose arrays are rotten: they are answered for."""
        try:
            batch.joined  # noqa: B018 - joined once, for all that follows
        except BadMessage:
            return batch.of([job for job in batch.jobs if self._is_sound(job)])
        return batch

    def _is_sound(self, job: Job) -> bool:
        try:
            batches([job], 0)[0].joined  # noqa: B018
        except BadMessage as error:
            self._complete([Answer.unreadable(job.entry, error)])
            return False
        return True

    def _serving(self, reference: str) -> Serving:
        try:
            return self.models.get(reference)
        except BadModel as error:
            raise WorkerUnfit(f"{self.name}: {error}") from error

    def _references(self, jobs: Sequence[Job]) -> dict[tuple[str, str], str]:
        """(run, model) -> by which reference to predict; see ``_reference``."""
        found: dict[tuple[str, str], str] = {}
        for job in jobs:
            key = job.block.run, job.block.model
            if not found.get(key):
                found[key] = self._reference(job)
        return found

    def _reference(self, job: Job) -> str:
        """By which reference to predict a job; empty where its model is unknown: it is answered."""
        try:
            return self._runs.reference(job.block)
        except UnknownModel as error:
            outcome = Outcome.failed(job.block.n_frames, Failure(str(error), "UnknownModel"))
            self._complete(Answer.each([[job]], outcome))
            return ""

    def _finish(self, batch: Batch) -> None:
        if not batch.jobs:
            return
        serving = self._serving(batch.model)
        self._publish_new(serving)
        began = self._clock()
        outcome = self._predict(batch, serving)
        self._complete(Answer.of_batch(batch, outcome), serving)
        self._recorder.predicted(self._predicted(batch, serving, outcome, began))
        self._shadow.offer(batch, serving, outcome)

    def _predict(self, batch: Batch, serving: Serving) -> Outcome:
        """The outcome of a batch; of bulk in slices, between which live frames are served.

        A live frame would else wait for all that is in hand, many times as long as it takes itself.
        """
        live_lately = 0.0 <= self._clock() - self._live_at < LIVE_S
        if not live_lately or batch.jobs[0].entry.priority == "live":
            return predict_batch(batch, serving, self._beat)
        parts = []
        for part in batch.slices(self._settings.slice_atoms):
            parts.append(predict_batch(part, serving, self._beat))
            self._work(self._broker.read_live(self.name, enough_bytes=self._enough_bytes))
        return Outcome.join(parts)

    def _predicted(
        self, batch: Batch, serving: Serving, outcome: Outcome, began: float
    ) -> Predicted:
        return Predicted(
            blocks=[job.block for job in batch.jobs],
            n_frames=batch.n_frames,
            n_atoms=batch.n_atoms,
            model=serving.choice.champion,
            featurise_s=outcome.featurise_s,
            infer_s=outcome.infer_s,
            began=began,
            ended=self._clock(),
        )

    def _finish_alone(self, job: Job) -> None:
        reference = self._reference(job)
        if reference:
            serving = self._serving(reference)
            outcome = predict_alone(job, self._isolation, serving, self._beat)
            self._complete(Answer.each([[job]], outcome), serving)

    def _beat(self) -> None:
        interval_s = self._settings.claim_idle_s / 4
        if is_due(self._next_beat, self._clock(), interval_s):
            self._next_beat = self._clock() + interval_s
            self._broker.heartbeat(self.name, self._held)

    # -- giving back ------------------------------------------------------------------------------

    def _complete(self, answers: Sequence[Answer], serving: Serving | None = None) -> None:
        now = self._clock()
        completions = [answer.completion(self.name, now) for answer in answers]
        try:
            counted = self._broker.complete(self.name, completions)
        except UnpublishedModel:
            assert serving is not None
            self._publish(serving)
            counted = self._broker.complete(self.name, completions)
        for answer, counts in zip(answers, counted, strict=True):
            if counts:
                self._frames += answer.outcome.n_frames
                self._sites += len(answer.outcome.sites)
                self._failures += len(answer.outcome.failures)
                self._recorder.completed(answer.outcome.n_frames, answer.errors)
                self._obituaries.write(answer, serving)
            elif len(answer.entries) > 1:  # somebody else has some of them: each for itself
                self._complete(answer.apart(), serving)

    def _publish_new(self, serving: Serving) -> None:
        """Make models known before the first result of theirs."""
        if serving.identity not in self._published:
            self._publish(serving)

    def _publish(self, serving: Serving) -> None:
        """All of them, then all of them together: who finds that finds each."""
        for predictor in serving.predictors():
            record = encode(predictor.record())
            self._broker.publish_model(predictor.identity, record)
        self._broker.publish_model(serving.identity, record)
        self._published.add(serving.identity)

    def _bury(self, entry: Entry) -> None:
        letter = DeadLetter(
            run="",
            first=0,
            n_frames=0,
            reason="an entry that was not pushed by edgestream: it has no run, index and count",
            error="BadMessage",
            attempts=1,
            worker=self.name,
            model="",
            t_failed=self._clock(),
            original=memoryview(entry.payload),
        )
        self._broker.bury(self.name, entry, encode(letter))

    def _report(self, problem: str = "") -> None:
        due = is_due(self._next_report, self._clock(), REPORT_INTERVAL_S)
        if not problem and not due:
            return
        self._next_report = self._clock() + REPORT_INTERVAL_S
        self._recorder.models(self.models.names(), self.models.swaps)
        self._count_shadows()
        if self._clock() >= self._next_sweep:
            self._next_sweep = self._clock() + FORGOTTEN_AFTER_S / 4
            self._broker.forget_silent(FORGOTTEN_AFTER_S)
        self._broker.report(
            WorkerState(
                name=self.name,
                host=socket.gethostname(),
                pid=os.getpid(),
                device=self._device,
                models=self.models.names(),
                frames=self._frames,
                sites=self._sites,
                failures=self._failures,
                busy_s=self._busy_s,
                seen_at=self._clock(),
                problem=problem or "; ".join(self.models.problems() + self._runs.problems()),
                stopped=bool(problem),
            )
        )

    def _count_shadows(self) -> None:
        for count in self._shadow.take():
            self._broker.count_shadow(count)

    def _tell(self, line: str) -> None:
        say(Words(f"{self.name}: {line}", **facts(line)))
