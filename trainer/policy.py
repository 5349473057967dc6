"""When a training is due."""

from __future__ import annotations

from dataclasses import dataclass

from xas.errors import Reject

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Since the last training, or since ever: new labels, seconds, how many of them are novel."""

    new_labels: int
    novel_labels: int
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A training is due when one of these holds, and there is a new label.

    every_labels  so many new labels
    every_hours   so long ago
    novel_labels  so many new labels lie outside what the champion was trained on
    None: never for that reason. At least ``least_labels`` are needed for any training.
    """

    every_labels: int | None = 200
    every_hours: float | None = None
    novel_labels: int | None = None
    least_labels: int = 50

    def __post_init__(self) -> None:
        for name in ("every_labels", "every_hours", "novel_labels"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise Reject(f"{name} = {value}: more than 0, or leave it out")

    def due(self, now: Situation) -> str:
        """Why a training is due, in words; "" where none is."""
        if not now.new_labels:
            return ""
        if self.every_labels is not None and now.new_labels >= self.every_labels:
            return f"{now.new_labels} new labels"
        if self.novel_labels is not None and now.novel_labels >= self.novel_labels:
            return f"{now.novel_labels} of {now.new_labels} new labels are novel to the champion"
        if self.every_hours is not None and now.since_s >= self.every_hours * HOUR_S:
            return f"{now.new_labels} new labels in {now.since_s / HOUR_S:.1f} hours"
        return ""
