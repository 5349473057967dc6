"""The contract between producers, workers and writers, and what every broker promises.

A block of frames is at every moment in exactly one of: the frames stream, the results stream, the
file. A push happens once or not at all; a completion counts once, whoever brings it first; rows are
released only by the writer that holds the lease. Two brokers keep the promises: Redis or Valkey
(``stream.redis_broker``) and memory (``stream.memory_broker``), tested by one suite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.messages import RunSpec
from stream.shadows import ShadowCount

PRIORITIES = ("live", "bulk")
ENOUGH_BYTES = 2**20
NOTICES = 50
BURIED_BYTES = 2**24
FIRST_GROWTH = 15_000  # bytes of results for 1,000 of frames, until results say how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A producer's hold on a run; ``next_index`` is that of its next frame."""

    run: str
    priority: str
    epoch: int
    next_index: int
    watermark: int
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A block of frames in a worker's hands. ``deliveries`` above 1: others had it before.

    ``again``: a dead letter that was requeued. ``reserved``: bytes that its results were given room
    for, and ``key``: where the broker keeps the payload; both its own business.
    """

    stream: str
    id: str
    run: str
    first: int
    n_frames: int
    payload: bytes
    deliveries: int = 1
    again: bool = False
    reserved: int = 0
    key: str = ""

    @property
    def priority(self) -> str:
        """That of its run; of requeued frames, bulk."""
        return self.stream.rpartition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a worker gives back for entries: one result and the dead letters in it.

    ``entries`` hold consecutive frames of one run, from one stream, and are all requeued or none.
    ``n_dead`` frames are in the dead letters; ``model``: the SHA-256 of the bundle, or empty.
    """

    entries: Sequence[Entry]
    result: bytes
    dead: Sequence[bytes] = ()
    n_dead: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultEntry:
    """A result that waits for the writer; ``held_bytes`` are released with it.

    ``frames`` are the blocks that it answers, as they were pushed; ``letters`` the dead letters
    among them; ``again``: they were requeued, and may be on disk; ``keys``, of which the last is
    that of the letters where ``has_letters``: where the broker keeps all of that. Without a ``run``
    it is nothing that a worker of ours gave back.
    """

    id: str
    run: str
    first: int
    n_frames: int
    payload: bytes
    held_bytes: int
    frames: Sequence[bytes] = ()
    letters: Sequence[bytes] = ()
    again: bool = False
    has_letters: bool = False
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A writer's hold on a shard."""

    shard: int
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What the broker knows of a run. ``sealed`` is the number of frames, None while it is open.

    ``file`` and ``host`` say where its rows lie, once a writer has it; ``refusal`` why a writer
    will not take it; ``fault`` why nobody can: its record is none of ours, and all else is empty;
    ``paused_at`` since when an operator holds back its producer; ``held_bytes``: of frames, dead
    letters and results, with those that its frames will become.
    """

    run: str
    spec: RunSpec
    run_id: str
    epoch: int
    next_index: int
    watermark: int
    held_bytes: int
    sealed: int | None
    interrupted: bool
    finished: bool
    resumed: bool
    dropped: int
    dropped_first: float
    dropped_last: float
    dead: int
    opened_at: float
    file: str
    host: str
    refusal: str
    fault: str = ""
    paused_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """A worker's last word about itself; ``problem``: why it ``stopped``, or what it works with."""

    name: str
    host: str
    pid: int
    device: str
    models: Sequence[str]
    frames: int
    sites: int
    failures: int
    busy_s: float
    seen_at: float
    problem: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardState:
    """Counts of one shard: entries waiting, entries in workers' hands, results not yet on disk.

    ``held_bytes``: by priority, without ``refused_bytes`` of runs that the writer refuses.

    ``buried``: entries that belong to no run and wait for the writer. ``oldest_s``: how old the
    oldest entry (``frames``) and the oldest result (``results``) are, 0 where there is none.
    ``drained_at``: since when an operator holds back all producers.
    """

    shard: int
    waiting: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    results: int = 0
    buried: int = 0
    oldest_s: Mapping[str, float] = field(default_factory=dict)
    held_bytes: Mapping[str, int] = field(default_factory=dict)
    refused_bytes: int = 0
    writer: str = ""
    writer_alive: bool = False
    drained_at: float | None = None


class ProducerBroker(Protocol):
    """What a producer may do."""

    def open_run(self, run: str, spec: RunSpec, *, run_id: str, resume: bool) -> Opened:
        """Raise the run's epoch, creating it where it is new.

        Raises RunRefused for a sealed run, for one that asks for something else than before, for
        one that holds frames already unless ``resume`` or ``run_id`` is its own. A writer's refusal
        is forgotten: it looks again.
        """

    def push(self, opened: Opened, first: int, n_frames: int, payload: bytes) -> int:
        """Accept a block, once; the index that the broker expects next.

        The answer is ``first + n_frames`` where the block was accepted or was held already; another
        answer means nothing was accepted: go on from there. Raises Backpressure above the
        high-water mark, HeldBack where an operator drains the service or has paused the run, Fenced
        for an older epoch, RunRefused for a run that is sealed or that the writer refused,
        RunForgotten for an unknown one.
        """

    def drop(
        self, opened: Opened, n_frames: int, *, first_s: float = 0.0, last_s: float = 0.0
    ) -> None:
        """Record frames that the producer gave up before numbering them.

        first_s, last_s: when the first and the last were, in seconds since 1970; 0: just now.
        """

    def seal(self, opened: Opened, n_frames: int, *, interrupted: bool = False) -> int:
        """End the run after the frames accepted so far; how many they are.

        An answer below ``n_frames``, which is what the producer pushed: the server has lost frames,
        and nothing was sealed.
        """

    def run(self, run: str) -> RunState | None:
        """The run as it stands; None where the broker does not know it."""


class WorkerBroker(Protocol):
    """What a worker may do. ``consumer`` names one incarnation of one worker."""

    def read(
        self, consumer: str, *, block_s: float, enough_bytes: int = ENOUGH_BYTES
    ) -> list[Entry]:
        """New entries, live before bulk, until they are enough; waits only while there are none."""

    def read_live(self, consumer: str, *, enough_bytes: int = ENOUGH_BYTES) -> list[Entry]:
        """New live entries, at once, while a worker has bulk in hand; often there are none."""

    def pending(self, consumer: str) -> list[Entry]:
        """Entries that were delivered to this consumer and may never have reached it."""

    def claim(self, consumer: str) -> list[Entry]:
        """Entries of workers that have been silent for longer than the claim time."""

    def heartbeat(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Say that the entries are still being worked on."""

    def complete(self, consumer: str, completions: Sequence[Completion]) -> list[bool]:
        """Turn entries into results; False where another worker was first.

        A completion of several entries counts whole or not at all: False, and nothing happened,
        where one of them is not this consumer's any more; give them back one by one then. Raises
        ``UnpublishedModel`` before anything of a completion happened where its ``model`` is not
        published in its shard; the call may be repeated whole.
        """

    def publish_model(self, sha256: str, record: bytes) -> None:
        """Make a model known to the writers of all shards."""

    def begin_run(self, run: str, sha256: str) -> bytes | None:
        """The record of the model that the run began with; where it has none, this one.

        ``sha256`` is published already. None where the run is not known.
        """

    def count_shadow(self, count: ShadowCount) -> None:
        """Add to what is known of a shadow; kept for 30 days after the last."""

    def bury(self, consumer: str, entry: Entry, dead: bytes) -> None:
        """Dead-letter an entry that belongs to no run.

        At most BURIED_BYTES of them wait for the writer, the latest; a larger one is not kept.
        """

    def release(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Give entries back, to be claimed by another worker at once."""

    def report(self, state: WorkerState) -> None:
        """Leave a sign of life that fades by itself."""

    def leave(self, consumer: str) -> None:
        """Remove the consumer where nothing is pending on it."""

    def forget_silent(self, silent_s: float) -> None:
        """Remove consumers and words of workers that died so long ago, as ``leave`` does."""


class WriterBroker(Protocol):
    """What a writer may do."""

    def acquire(self, shard: int, owner: str, *, above: int) -> Lease:
        """Take the shard with an epoch above all earlier ones and above ``above``.

        Raises Fenced, naming the holder, while another writer's lease lives.
        """

    def renew(self, lease: Lease) -> None:
        """Keep the lease, also on a server that forgot it; Fenced where another writer has it."""

    def yield_lease(self, lease: Lease) -> None:
        """Give the lease back."""

    def results(
        self, lease: Lease, after: str, *, block_s: float, bare: Collection[str] = ()
    ) -> list[ResultEntry]:
        """Results behind entry ``after`` ("0" for the first), oldest first.

        Those of the runs ``bare`` come without any bytes, but for requeued frames.
        """

    def model(self, lease: Lease, sha256: str) -> bytes | None:
        """The record of a published model."""

    def adopt(
        self, lease: Lease, run: str, *, n_frames: int, run_id: str, file: str, host: str
    ) -> None:
        """Tell the broker where a run lies and how many frames are on disk already."""

    def refuse(self, lease: Lease, run: str, reason: str) -> None:
        """Tell the producers of a run why this writer will not take it.

        What it holds is counted apart, and fills no priority but beyond four high-water marks.
        """

    def commit(
        self, lease: Lease, run: str, watermark: int, entries: Sequence[ResultEntry]
    ) -> None:
        """Release entries whose rows are durable and raise the watermark; Fenced without lease."""

    def settle(self, lease: Lease, entries: Sequence[ResultEntry]) -> None:
        """Release results of requeued frames that are durable, or worth nothing."""

    def count_dead(self, lease: Lease, run: str, n: int) -> None:
        """Say how many frames of a finished run have no spectrum, where the run is known."""

    def note_dead(self, lease: Lease, notices: Sequence[bytes]) -> None:
        """Leave word of dead letters that are on disk now; only the last NOTICES are kept."""

    def buried(self, lease: Lease) -> list[tuple[str, bytes]]:
        """Ids and letters of entries that belong to no run, oldest first."""

    def unbury(self, lease: Lease, ids: Sequence[str]) -> None:
        """Release buried letters that are on disk."""

    def finish(self, lease: Lease, run: str) -> bool:
        """Say that a sealed run's file is complete; False where it was resumed a moment ago."""

    def open_runs(self, lease: Lease) -> list[RunState]:
        """The runs of the shard that are not finished."""


class ViewerBroker(Protocol):
    """What anybody may look at."""

    def runs(self) -> list[RunState]:
        """All runs."""

    def run(self, run: str) -> RunState | None:
        """One run."""

    def workers(self) -> list[WorkerState]:
        """Workers that gave a sign of life of late."""

    def shadows(self) -> list[ShadowCount]:
        """What is known of shadows, by run, model and shadow."""

    def shards(self) -> list[ShardState]:
        """Counts of every shard."""

    def dead_letters(self, shard: int) -> list[bytes]:
        """The dead letters that wait for the writer, with those of no run, each oldest first."""

    def notices(self, shard: int) -> list[bytes]:
        """The last dead letters that the writer put on disk, without their frames, latest first."""

    def known_model(self, shard: int, sha256: str) -> bytes | None:
        """The record of a published model."""

    def results_end(self, shard: int) -> str:
        """The last result of a shard so far: where somebody who follows it begins."""

    def follow(self, shard: int, after: str, *, block_s: float) -> list[ResultEntry]:
        """Results behind entry ``after``, oldest first, without their frames; takes nothing away.

        Waits up to ``block_s`` while there are none. What the writer has on disk already is missed.
        """


class OperatorBroker(Protocol):
    """What somebody may do who mends things."""

    def requeue(self, run: str, first: int, n_frames: int, payload: bytes) -> None:
        """Give a dead letter's frames back to the workers, behind the bulk.

        Its bytes count for that priority, not for the run, which the server need not know any more.
        Backpressure above four high-water marks, HeldBack during a drain.
        """

    def drain(self) -> None:
        """Accept no more frames of any run until ``admit``.

        What was accepted is predicted and written; runs may be opened and sealed. Again: no change.
        """

    def admit(self) -> bool:
        """End a drain; whether there was one."""

    def pause(self, run: str) -> None:
        """Accept no more frames of one run until ``resume``, else as ``drain``.

        RunRefused for a run that is not known, or complete.
        """

    def resume(self, run: str) -> bool:
        """End a pause; whether there was one."""

    def discard(self, run: str) -> int:
        """Forget a run that the writer refuses, with what it holds; how many bytes those were.

        RunRefused for a run that is not known, or that the writer takes.
        """


class Broker(ProducerBroker, WorkerBroker, WriterBroker, ViewerBroker, OperatorBroker, Protocol):
    """Everything together."""

    def close(self) -> None:
        """Let go of connections."""


class UnpublishedModel(Exception):
    """The broker does not know the model of a completion (any more): publish it and repeat."""
