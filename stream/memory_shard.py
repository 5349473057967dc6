"""What the broker in memory holds: one shard of streams, results and runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.broker import PRIORITIES, Entry, ResultEntry, RunState
from stream.messages import RunSpec


@dataclass
class Delivery:
    """Who has an entry, since when, and how often it was handed out."""

    consumer: str
    at: float
    times: int = 1


@dataclass
class Stream:
    """Blocks of one priority, and those of them that are in workers' hands."""

    entries: dict[int, Entry] = field(default_factory=dict)
    deliveries: dict[int, Delivery] = field(default_factory=dict)

    def unread(self) -> list[int]:
        """Entries that nobody was ever given."""
        return [i for i in self.entries if i not in self.deliveries]


@dataclass
class Shard:
    """Everything that one writer writes."""

    frames: dict[str, Stream] = field(default_factory=lambda: {p: Stream() for p in PRIORITIES})
    results: dict[int, ResultEntry] = field(default_factory=dict)
    buried: dict[int, bytes] = field(default_factory=dict)
    notices: list[bytes] = field(default_factory=list)
    runs: dict[str, RunState] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, 0))
    models: dict[str, bytes] = field(default_factory=dict)
    began: dict[str, str] = field(default_factory=dict)
    growth: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    drained_at: float | None = None
    since: dict[int, float] = field(default_factory=dict)
    last_result: str = "0"
    owner: str = ""
    epoch: int = 0
    until: float = 0.0
    lease_s: float = 0.0

    def oldest_s(self, now: float) -> dict[str, float]:
        """Ages of the oldest entry and of the oldest result; forgets when those came that went."""
        frames = {number for stream in self.frames.values() for number in stream.entries}
        self.since = {k: at for k, at in self.since.items() if k in frames or k in self.results}
        ages = {"frames": frames, "results": set(self.results)}
        return {
            stage: max((now - self.since[k] for k in numbers), default=0.0)
            for stage, numbers in ages.items()
        }


def new_run(run: str, spec: RunSpec, run_id: str, now: float) -> RunState:
    """A run that was opened this moment, before its first epoch."""
    nan = float("nan")
    return RunState(
        run=run,
        spec=spec,
        run_id=run_id,
        epoch=0,
        next_index=0,
        watermark=0,
        held_bytes=0,
        sealed=None,
        interrupted=False,
        finished=False,
        resumed=False,
        dropped=0,
        dropped_first=nan,
        dropped_last=nan,
        dead=0,
        opened_at=now,
        file="",
        host="",
        refusal="",
    )
