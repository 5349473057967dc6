"""The models in use: loaded beside each other, and switched between two batches."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from stream.log import Words
from stream.service import say
from workers.catalogue import Catalogue, Choice
from workers.predictor import Predictor
from workers.serving import Serving
from xas.errors import EdgestreamError

MODELS_KEPT = 4  # references in use; the least recently used goes first
SPARE = 2  # predictors kept that nothing uses: a roll-back finds the one before loaded
RETRY_S = 10.0  # until a version that failed to load is tried again


class Models:
    """What serves each reference. ``get`` is for the thread of batches, ``look`` for another.

    A version that cannot be loaded, or that answers its own check input differently, leaves the
    old one at work; ``problems`` says why, and so does one line for each new problem.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        tell: Callable[[str], None] = say,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue, self._tell, self._clock = catalogue, tell, clock
        self._serving: OrderedDict[str, Serving] = OrderedDict()
        self._kept: OrderedDict[str, Predictor] = OrderedDict()
        self._problems: dict[str, str] = {}
        self._retry: dict[str, float] = {}
        self.swaps = 0
        self._lock = threading.Lock()

    def get(self, reference: str) -> Serving:
        """What serves it, loaded now if it is new; UnknownModel, BadModel, WorkerUnfit."""
        with self._lock:
            serving = self._serving.get(reference)
            if serving is not None:
                self._serving.move_to_end(reference)
                return serving
        serving = self._build(self._catalogue.choose(reference), self._catalogue)
        self._serve(reference, serving)
        return serving

    def look(self, catalogue: Catalogue) -> None:
        """Follow every alias that moved; whatever is at work stays until the new one is ready."""
        for reference, serving in list(self._serving.items()):
            try:
                self._follow(reference, serving, catalogue)
            except Exception as error:  # noqa: BLE001 - the old one serves, whatever the new one does
                self._retry[reference] = self._clock() + RETRY_S
                words = str(error) if isinstance(error, EdgestreamError) else repr(error)
                self._note(reference, f"{words}; {serving.choice.champion} goes on serving")

    def _follow(self, reference: str, serving: Serving, catalogue: Catalogue) -> None:
        choice = catalogue.choose(reference)
        if replace(choice, stale="") == replace(serving.choice, stale=""):
            # a fault that is new is told first, and tried again later
            wanted = bool(serving.faults) and reference in self._retry and self._is_due(reference)
        else:
            wanted = self._is_due(reference) or choice.champion == serving.choice.champion
        if wanted:
            new = self._build(choice, catalogue)
            self._serve(reference, new)
            if new.choice.champion != serving.choice.champion:
                was, now = serving.choice.champion, new.choice.champion
                self.swaps += 1
                self._tell(Words(f"{reference} is {now} now, not {was}", model=now))
            serving = new
        if choice.champion == serving.choice.champion:
            self._retry_unless_whole(reference, serving)
            self._note(reference, "; ".join([*serving.faults, *filter(None, [choice.stale])]))

    def _is_due(self, reference: str) -> bool:
        return self._clock() >= self._retry.get(reference, 0.0)

    def _retry_unless_whole(self, reference: str, serving: Serving) -> None:
        if not serving.faults:
            self._retry.pop(reference, None)
        elif self._is_due(reference):
            self._retry[reference] = self._clock() + RETRY_S

    def _build(self, choice: Choice, catalogue: Catalogue) -> Serving:
        champion = self._predictor(choice.champion, catalogue)
        faults: list[str] = []

        def beside(fixed: str, role: str) -> Predictor | None:
            if not fixed:
                return None
            try:
                predictor = self._predictor(fixed, catalogue)
                predictor.require_same_output(champion)
            except Exception as error:  # noqa: BLE001 - the champion needs nobody beside it
                faults.append(f"{role} {fixed} takes no part: {error}")
                return None
            return predictor

        challenger = beside(choice.challenger, "challenger")
        return Serving(choice, champion, challenger, beside(choice.shadow, "shadow"), faults)

    def _predictor(self, fixed: str, catalogue: Catalogue) -> Predictor:
        with self._lock:
            found = self._kept.get(fixed)
        if found is None:
            found = catalogue.load(fixed)
            found.check()  # validated, and warm
        with self._lock:
            self._kept[fixed] = found
            self._kept.move_to_end(fixed)
        return found

    def _serve(self, reference: str, serving: Serving) -> None:
        with self._lock:
            self._serving[reference] = serving
            if len(self._serving) > MODELS_KEPT:
                gone, _ = self._serving.popitem(last=False)
                self._problems.pop(gone, None)
            choices = [s.choice for s in self._serving.values()]
            used = {f for c in choices for f in (c.champion, c.challenger, c.shadow)}
            spare = [fixed for fixed in self._kept if fixed not in used]
            for fixed in spare[: max(0, len(spare) - SPARE)]:
                del self._kept[fixed]

    def _note(self, reference: str, problem: str) -> None:
        if problem and problem != self._problems.get(reference):
            self._tell(Words(f"{reference}: {problem}", model=reference, level="warning"))
        if problem:
            self._problems[reference] = problem
        else:
            self._problems.pop(reference, None)

    def names(self) -> list[str]:
        """The models at work."""
        with self._lock:
            return list(dict.fromkeys(n for s in self._serving.values() for n in s.names()))

    def problems(self) -> list[str]:
        """Why what is at work is not what was asked for."""
        return [f"{reference}: {why}" for reference, why in list(self._problems.items())]


class Watch:
    """A thread that follows the aliases, with a catalogue of its own."""

    def __init__(
        self, models: Models, open_catalogue: Callable[[], Catalogue], interval_s: float
    ) -> None:
        self._models, self._open, self._interval_s = models, open_catalogue, max(interval_s, 0.01)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="model watch")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a store that hangs is not waited for."""
        self._over.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        catalogue = self._open()
        while not self._over.wait(self._interval_s):
            self._models.look(catalogue)
