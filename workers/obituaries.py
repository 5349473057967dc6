"""What a worker says of frames that have no spectrum: one line, and then at most one a second."""

from __future__ import annotations

from collections.abc import Callable

from stream.log import Words
from stream.service import is_due
from workers.answer import Answer
from workers.serving import Serving

INTERVAL_S = 1.0


class Obituaries:
    """Names the first failed frame of an answer; counts those that no line was written for."""

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._tell, self._clock = tell, clock
        self._next, self._unsaid = 0.0, 0

    def write(self, answer: Answer, serving: Serving | None) -> None:
        """Say it, unless something was said a moment ago."""
        failures = answer.outcome.failures
        if not failures:
            return
        if not is_due(self._next, self._clock(), INTERVAL_S):
            self._unsaid += len(failures)
            return
        self._next = self._clock() + INTERVAL_S
        run, index = answer.entries[0].run, answer.entries[0].first + min(failures)
        line = f"run {run!r}: frame {index} has no spectrum: {failures[min(failures)].reason}"
        if others := self._unsaid + len(failures) - 1:
            line += f" (and {others} more)"
        self._unsaid = 0
        model = serving.choice.champion if serving else ""
        self._tell(Words(line, run=run, index=index, model=model, level="warning"))
