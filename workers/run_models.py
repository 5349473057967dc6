"""Which model a run goes on with: never one whose spectra cannot stand beside its first ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from stream.broker import WorkerBroker
from stream.codec import decode
from stream.log import Words
from stream.messages import FrameBlock, ModelRecord
from workers.catalogue import is_fixed
from workers.predictor import Predictor
from workers.serving import Serving
from xas.errors import BadMessage, BadModel

RUNS_KEPT = 1024
SAID_FOR_S = 60.0  # after a run's last frame nobody needs to hear of it


@dataclass
class RunModel:
    """What a run goes on with.

    ``held`` is the fixed reference that served it last; ``refused`` the one that must not, and
    ``why``.
    """

    output: tuple[str, str, bytes]
    held: str
    seen_at: float = 0.0
    refused: str = ""
    why: str = ""


class RunModels:
    """Element, edge and energy grid of a run are those of the model that began it, for all workers.

    Where an alias moves to a model with others, runs that began before keep the one they had.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        get: Callable[[str], Serving],
        publish: Callable[[Serving], None],
        tell: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._broker, self._get, self._publish = broker, get, publish
        self._tell, self._clock = tell, clock
        self._runs: OrderedDict[str, RunModel] = OrderedDict()

    def reference(self, block: FrameBlock) -> str:
        """By which reference to predict a block: its own, or the fixed one that its run holds."""
        serving = self._get(block.model)  # also where it is fixed: it may be unknown
        if is_fixed(block.model):
            return block.model
        run = self._runs.get(block.run) or self._begin(block.run, serving)
        self._runs.move_to_end(block.run)
        run.seen_at = self._clock()
        champion = serving.champion
        if run.output == champion.output:
            run.held, run.refused = serving.choice.champion, ""
            return block.model
        if run.refused != serving.choice.champion:
            self._refuse(block.run, run, serving)
        return run.held

    def _refuse(self, name: str, run: RunModel, serving: Serving) -> None:
        run.refused = serving.choice.champion
        run.why = _why(serving.champion, self._get(run.held).champion)
        line = f"run {name!r} {run.why}; {run.held} goes on serving it"
        self._tell(Words(line, run=name, model=run.held, level="warning"))

    def _begin(self, name: str, serving: Serving) -> RunModel:
        """Learn from the broker what the run began with: this, where nobody came before."""
        self._publish(serving)
        champion = serving.champion
        packed = self._broker.begin_run(name, champion.identity)
        record = _record(packed)
        run = RunModel(champion.output, serving.choice.champion)
        if record is not None and record.output != champion.output:
            run = RunModel(record.output, f"{record.name}@{record.version}")
        self._runs[name] = run
        if len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        return run

    def problems(self) -> list[str]:
        """Runs of the last minute that do not get the model that their reference stands for."""
        return [
            f"run {name!r} {run.why}; {run.held} goes on serving it"
            for name, run in self._runs.items()
            if run.refused and self._clock() - run.seen_at < SAID_FOR_S
        ]


def _record(packed: bytes | None) -> ModelRecord | None:
    """The record of a model; none where it cannot be read: the writer will refuse such a run."""
    try:
        return None if packed is None else decode(packed, ModelRecord)
    except BadMessage:
        return None


def _why(new: Predictor, old: Predictor) -> str:
    try:
        new.require_same_output(old)
    except BadModel as error:
        return f"cannot change its model: {error}"
    return ""
