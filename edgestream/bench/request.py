"""What a bench is asked for, and what a section of it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgestream.bench.sampling import Figure


@dataclass(frozen=True, kw_only=True)
class Request:
    """How much is measured, on which model; ``tell`` hears what is being done.

    data            folder of the project's real data; None: what ships, or is made
    frames          of one run of the pipeline, ``repeat`` times
    backfill        frames that wait while live ones are measured, ``repeat`` times
    samples         of everything that is measured within this process
    latency_s       seconds of live frames at each load
    growth          lengths of the runs that are compared
    scaling_frames  pushed before the workers may start, ``scaling_rounds`` times
    reading_frames  in each file that is read
    """

    data: Path | None = None
    model: str = "fe-k"
    models: str | None = None
    frames: int = 20_000
    workers: int | None = None
    backfill: int = 20_000
    repeat: int = 3
    samples: int = 7
    latency_s: float = 6.0
    growth: tuple[int, ...] = (1_000, 10_000, 100_000)
    scaling_frames: int = 20_000
    scaling_rounds: int = 3
    reading_frames: int = 1_000
    folder: Path = Path()
    profile: bool = False
    tell: Callable[[str], object] = str  # nobody listens

    def quick(self) -> Request:
        """Little of everything: figures are rough."""
        return replace(
            self,
            frames=min(self.frames, 2_000),
            backfill=2_000,
            repeat=1,
            samples=2,
            latency_s=0.6,
            growth=(200, 1_000, 4_000),
            scaling_frames=500,
            scaling_rounds=1,
            reading_frames=200,
        )

    def long(self) -> Request:
        """Growth to a million frames, and live frames behind a backfill of as many."""
        return replace(self, growth=(*self.growth, 1_000_000), backfill=1_000_000)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Figures by their key in the JSON, what they were measured on, and whatever else is known."""

    figures: dict[str, Figure] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
