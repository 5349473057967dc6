"""How far a training is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.checkpoints import Checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report: ``done`` of ``total`` epochs of all networks, ``loss`` of the last one."""

    stage: str
    done: int
    total: int
    loss: float
    elapsed_s: float

    @property
    def left_s(self) -> float:
        """Seconds until the last epoch at the pace so far."""
        return self.elapsed_s * (self.total - self.done) / max(1, self.done)


Callback = Callable[[Progress], None]


@dataclass(slots=True)
class Clock:
    """Counts epochs over all stages and tells the callback, one thread at a time.

    checkpoints: where the training keeps what it has done; None: nowhere.
    """

    total: int
    callback: Callback | None = None
    checkpoints: Checkpoints | None = None
    done: int = 0
    stage: str = ""
    model: str = ""
    started: float = field(default_factory=time.monotonic)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def epoch(self, loss: float) -> None:
        """One more epoch has ended."""
        with self.one_at_a_time:
            self.done += 1
            if self.callback is not None:
                self.callback(self._progress(loss))

    def _progress(self, loss: float) -> Progress:
        return Progress(
            stage=f"{self.model}: {self.stage}" if self.model else self.stage,
            done=self.done,
            total=self.total,
            loss=loss,
            elapsed_s=self.elapsed_s,
        )

    @property
    def elapsed_s(self) -> float:
        """Seconds since the training began."""
        return time.monotonic() - self.started
