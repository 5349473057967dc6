"""What a worker gives back for entries: their frames' outcome as a completion for the broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.broker import Completion, Entry
from stream.codec import encode
from stream.messages import DeadLetter
from workers.batcher import Batch, Job
from workers.outcome import Failure, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of consecutive frames of one run; no ``jobs`` where nobody can read the entry."""

    entries: Sequence[Entry]
    jobs: Sequence[Job]
    outcome: Outcome

    @classmethod
    def unreadable(cls, entry: Entry, error: Exception) -> Answer:
        """For an entry whose bytes are not ours: all of its frames fail."""
        failure = Failure(str(error), type(error).__name__)
        return cls(entries=[entry], jobs=(), outcome=Outcome.failed(entry.n_frames, failure))

    @classmethod
    def each(cls, parts: Sequence[Sequence[Job]], outcome: Outcome) -> list[Answer]:
        """One answer for each part of the jobs whose outcome this is."""
        sizes = [sum(job.block.n_frames for job in part) for part in parts]
        outcomes = [outcome] if len(parts) == 1 else outcome.split(sizes)
        return [
            cls(entries=[job.entry for job in part], jobs=part, outcome=own)
            for part, own in zip(parts, outcomes, strict=True)
        ]

    @classmethod
    def of_batch(cls, batch: Batch, outcome: Outcome) -> list[Answer]:
        """As few answers as the runs of a batch allow."""
        return cls.each(batch.stretches(), outcome)

    @property
    def errors(self) -> list[str]:
        """The class of the error of each frame that has no spectrum."""
        failures = self.outcome.failures
        return [f.error for f in failures.values()] if failures else []

    def apart(self) -> list[Answer]:
        """One answer an entry."""
        return self.each([[job] for job in self.jobs], self.outcome)

    def completion(self, worker: str, now: float) -> Completion:
        """The message and the dead letters, encoded."""
        first = self.entries[0]
        pushed = [job.block.t_pushed for job in self.jobs]
        t_pushed = np.repeat(pushed, [job.block.n_frames for job in self.jobs])
        return Completion(
            entries=self.entries,
            result=encode(self.outcome.result(first.run, first.first, t_pushed, now)),
            dead=self._dead_letters(worker, now) if self.outcome.failures else (),
            n_dead=len(self.outcome.failures),
            model=self.outcome.identity,
        )

    def _dead_letters(self, worker: str, now: float) -> list[bytes]:
        """One a failed frame, or one for a whole entry that nobody can read."""
        failures = self.outcome.failures
        if not self.jobs:
            entry = self.entries[0]
            return [self._dead(0, entry.n_frames, failures[0], entry.payload, worker, now)]
        starts = np.cumsum([0, *(job.block.n_frames for job in self.jobs)])
        letters = []
        for i, failure in sorted(failures.items()):
            which = int(np.searchsorted(starts, i, side="right")) - 1
            original = encode(self.jobs[which].block.cut(i - int(starts[which])))
            letters.append(self._dead(i, 1, failure, original, worker, now))
        return letters

    def _dead(
        self, offset: int, n: int, failure: Failure, original: bytes, worker: str, now: float
    ) -> bytes:
        return encode(
            DeadLetter(
                run=self.entries[0].run,
                first=self.entries[0].first + offset,
                n_frames=n,
                reason=failure.reason,
                error=failure.error,
                attempts=failure.attempts,
                worker=worker,
                model=self.outcome.model,
                t_failed=now,
                original=memoryview(original),
            )
        )
