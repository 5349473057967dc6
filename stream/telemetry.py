"""Every number that edgestream gives to Prometheus: the table of docs/metrics.md.

Who sets one is found by its name: ``stream.metrics`` for what a process does itself,
``stream.exporter`` for what the server knows.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.label_stream import OUTCOMES

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
FRAMES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
ATOMS = (64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)
# classes of errors that frames die of; any other counts as "other", so that labels are few and all
# begin at 0: a count that begins at 3 has not risen, to Prometheus
REASONS = (
    "BadMessage",
    "BadStructure",
    "ChildFailed",
    "NewerProtocol",
    "UnknownModel",
    "other",
)
POLICIES = ("drop", "raise", "block")
PRIORITIES = ("live", "bulk")
STAGES = ("frames", "results")
RUN_STATES = ("open", "sealed", "finished", "refused")
WORKER_STATES = ("working", "troubled", "stopped")
ENDINGS = ("promoted", "not promoted", "refused")  # of trainings that did not fail


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One row: ``by`` names the process that has it, ``values`` those that its label begins with.

    kind: counter, gauge or histogram, of which the last has ``buckets``.
    """

    by: str
    name: str
    kind: str
    about: str
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(
    by: str, name: str, about: str, label: str = "", values: tuple[str, ...] = ()
) -> Metric:
    labels = (label,) if label else ()
    return Metric(by=by, name=name, kind="counter", about=about, labels=labels, values=values)


def _gauge(by: str, name: str, about: str, *labels: str) -> Metric:
    return Metric(by=by, name=name, kind="gauge", about=about, labels=labels)


def _histogram(by: str, name: str, about: str, buckets: tuple[float, ...] = SECONDS) -> Metric:
    return Metric(by=by, name=name, kind="histogram", about=about, buckets=buckets)


METRICS = (
    # the producer: edgestream push --metrics-port
    _counter(
        "producer", "edgestream_pushed_frames_total", "Frames that this producer had accepted."
    ),
    _counter(
        "producer",
        "edgestream_dropped_frames_total",
        "Frames that were not accepted because the service is behind: given up (drop), or left to "
        "the caller with an error, at once (raise) or after the deadline (block).",
        "policy",
        POLICIES,
    ),
    # a worker
    _counter(
        "worker",
        "edgestream_received_frames_total",
        "Frames that this worker took in hand; those that a dead worker had before count again.",
    ),
    _counter(
        "worker",
        "edgestream_completed_frames_total",
        "Frames that this worker answered for, with a spectrum or as a dead letter, and was the "
        "first to.",
    ),
    _counter(
        "worker",
        "edgestream_dead_lettered_frames_total",
        "Frames that this worker found to have no spectrum, by the class of the error.",
        "reason",
        REASONS,
    ),
    _histogram("worker", "edgestream_batch_frames", "Frames that were predicted together.", FRAMES),
    _histogram("worker", "edgestream_batch_atoms", "Atoms of a batch.", ATOMS),
    _histogram(
        "worker",
        "edgestream_queue_seconds",
        "From the push of a block until this worker has read it, one observation a block; requeued "
        "dead letters are left out.",
    ),
    _histogram(
        "worker", "edgestream_featurise_seconds", "Time in the descriptor, one observation a batch."
    ),
    _histogram(
        "worker", "edgestream_infer_seconds", "Time in the network, one observation a batch."
    ),
    _gauge(
        "worker",
        "edgestream_model_info",
        "1 for each version of a model at work in this worker: champion, challenger or shadow.",
        "model",
        "version",
    ),
    _counter(
        "worker",
        "edgestream_model_swaps_total",
        "How often a reference came to stand for another version while this worker served it.",
    ),
    # the writer
    _counter(
        "writer",
        "edgestream_written_rows_total",
        "Rows that this writer made durable, tombstones of dead letters among them.",
    ),
    _histogram(
        "writer",
        "edgestream_write_seconds",
        "From results in hand until their rows are durable (fsync), one observation a commit of a "
        "run.",
    ),
    _histogram(
        "writer",
        "edgestream_end_to_end_seconds",
        "From the push of a block until its rows are durable, one observation a result, of its "
        "oldest frame.",
    ),
    _gauge(
        "writer", "edgestream_disk_free_bytes", "Free space where the result files are written."
    ),
    _gauge("writer", "edgestream_disk_size_bytes", "Size of that disk."),
    # the trainer, the labeller, the live page
    _gauge("trainer", "edgestream_archived_labels", "Labels in this trainer's archive."),
    _gauge(
        "labeller",
        "edgestream_label_requests",
        "Labels that somebody asked for: open or answered.",
        "state",
    ),
    _gauge("page", "edgestream_page_viewers", "Browsers that look at this page."),
    # the exporter: one for the whole service
    _gauge("exporter", "edgestream_server_up", "1 where the Redis or Valkey server answers."),
    _gauge("exporter", "edgestream_server_memory_bytes", "Memory that the server uses."),
    _gauge(
        "exporter",
        "edgestream_server_memory_limit_bytes",
        "Memory that the server may use (maxmemory); absent where there is no limit.",
    ),
    _counter(
        "exporter",
        "edgestream_accepted_frames_total",
        "Frames that the server accepted, of all runs that it knows.",
    ),
    _gauge("exporter", "edgestream_disk_rows", "Rows on disk, of all runs that the server knows."),
    _gauge(
        "exporter",
        "edgestream_dead_frames",
        "Frames without a spectrum, of all runs that the server knows.",
    ),
    _counter(
        "exporter",
        "edgestream_given_up_frames_total",
        "Frames that producers dropped, of all runs that the server knows.",
    ),
    _gauge(
        "exporter",
        "edgestream_backlog_frames",
        "Frames accepted and not yet on disk.",
    ),
    _gauge(
        "exporter",
        "edgestream_backlog_bytes",
        "Bytes accepted and not yet on disk, by priority: live or bulk.",
        "priority",
    ),
    _gauge(
        "exporter",
        "edgestream_waiting_blocks",
        "Blocks of frames that no worker has in hand, by priority.",
        "priority",
    ),
    _gauge("exporter", "edgestream_pending_blocks", "Blocks of frames in workers' hands."),
    _gauge("exporter", "edgestream_result_blocks", "Results that wait for the writer."),
    _gauge(
        "exporter",
        "edgestream_oldest_seconds",
        "Age of the oldest block that has no result yet (frames), and of the oldest result that is "
        "not on disk (results); 0 where there is none.",
        "stage",
    ),
    _gauge(
        "exporter",
        "edgestream_runs",
        "Runs that the server knows: open, sealed, finished, refused by the writer.",
        "state",
    ),
    _gauge(
        "exporter",
        "edgestream_workers",
        "Workers that gave a sign of life of late: working, troubled (at work, with a problem), "
        "stopped by a fault.",
        "state",
    ),
    _gauge("exporter", "edgestream_writer_up", "1 where a living writer holds the shard.", "shard"),
    _gauge("exporter", "edgestream_waiting_labels", "Labels that wait for the trainer's archive."),
    _gauge("exporter", "edgestream_waiting_label_bytes", "Their bytes."),
    _counter(
        "exporter",
        "edgestream_labels_total",
        "Labels that left the server: new, conflict (stored beside another spectrum of the same "
        "structure), duplicate, refused (no label).",
        "outcome",
        OUTCOMES,
    ),
    _gauge("exporter", "edgestream_archive_up", "1 where a living trainer takes labels in."),
    _gauge("exporter", "edgestream_jobs_server_up", "1 where the server of the jobs answers."),
    _gauge(
        "exporter",
        "edgestream_jobs",
        "Jobs of the last 30 days, by task (train, label): waiting, running, done, failed, "
        "cancelled.",
        "task",
        "state",
    ),
    _gauge(
        "exporter",
        "edgestream_trainings",
        "Of the last 50 jobs that train, those that ended so: promoted, not promoted (the gate), "
        "refused (its labels).",
        "ending",
    ),
    _gauge(
        "exporter",
        "edgestream_training_progress_ratio",
        "How much of the training that runs is done, in epochs; 0 where none runs.",
    ),
)


def metric(name: str) -> Metric:
    """The row of a name."""
    return next(m for m in METRICS if m.name == name)


def reason_label(error: str) -> str:
    """The label of an error's class."""
    return error if error in REASONS else "other"


def markdown() -> str:
    """The table as docs/metrics.md holds it."""
    return "\n".join(
        ["| metric | kind | of | what it says |", "|---|---|---|---|", *map(_row, METRICS)]
    )


def _row(m: Metric) -> str:
    labels = f"{{{', '.join(m.labels)}}}" if m.labels else ""
    return f"| `{m.name}{labels}` | {m.kind} | {m.by} | {m.about} |"
