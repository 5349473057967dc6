"""Metrics of this process for Prometheus: counted by block and batch, on a port of its own."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.process_collector import ProcessCollector

from stream.broker import Entry
from stream.messages import FrameBlock
from stream.recorder import Predicted, Recorder, Written
from stream.tally import Tally
from stream.telemetry import METRICS, Metric, reason_label
from xas.errors import Reject

_FIRST = struct.Struct("<d")  # of an array
THIS_MACHINE = "127.0.0.1"


class Meter(Recorder):
    """Counts what a process (``by``: as in the table) tells, in a registry of its own."""

    def __init__(self, by: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._made = {m.name: _made(m, self.registry) for m in METRICS if m.by == by}
        self._swaps = 0
        self._models: set[tuple[str, str]] = set()

    def _add(self, name: str, n: float, label: str = "") -> None:
        counter = self._made[f"edgestream_{name}_total"]
        (counter.labels(label) if label else counter).inc(n)

    def _observe(self, name: str, value: float) -> None:
        self._made[f"edgestream_{name}"].observe(value)

    def accepted(self, n_frames: int) -> None:
        """See Recorder."""
        self._add("pushed_frames", n_frames)

    def dropped(self, n_frames: int, policy: str) -> None:
        """See Recorder."""
        self._add("dropped_frames", n_frames, policy)

    def received(self, entries: Sequence[Entry]) -> None:
        """See Recorder."""
        self._add("received_frames", sum(e.n_frames for e in entries))

    def queued(self, blocks: Sequence[FrameBlock], now: float) -> None:
        """See Recorder."""
        for block in blocks:
            self._observe("queue_seconds", now - block.t_pushed)

    def predicted(self, batch: Predicted) -> None:
        """See Recorder."""
        self._observe("batch_frames", batch.n_frames)
        self._observe("batch_atoms", batch.n_atoms)
        self._observe("featurise_seconds", batch.featurise_s)
        self._observe("infer_seconds", batch.infer_s)

    def completed(self, n_frames: int, errors: Sequence[str]) -> None:
        """See Recorder."""
        self._add("completed_frames", n_frames)
        for error in errors:
            self._add("dead_lettered_frames", 1, reason_label(error))

    def models(self, references: Sequence[str], swaps: int) -> None:
        """See Recorder."""
        self._add("model_swaps", swaps - self._swaps)
        self._swaps = swaps
        info = self._made["edgestream_model_info"]
        now = {(name, version) for name, _, version in (r.partition("@") for r in references)}
        for gone in self._models - now:
            info.remove(*gone)
        for model in now:
            info.labels(*model).set(1)
        self._models = now

    def written(self, rows: Written) -> None:
        """See Recorder."""
        self._add("written_rows", rows.n_rows)
        self._observe("write_seconds", rows.ended - rows.began)
        for result in rows.results:
            if result.ours:
                (oldest,) = _FIRST.unpack_from(result.t_pushed.data)
                self._observe("end_to_end_seconds", rows.ended - oldest)

    def watch(self, name: str, value: Callable[[], float], label: str = "") -> None:
        """Ask for a gauge's value whenever Prometheus does, from a thread of its own."""
        gauge = self._made[f"edgestream_{name}"]
        (gauge.labels(label) if label else gauge).set_function(value)

    def watch_disk(self, folder: Path) -> None:
        """Say of the writer's disk how large it is and how much is free, whenever asked."""
        self.watch("disk_free_bytes", lambda: shutil.disk_usage(folder).free)
        self.watch("disk_size_bytes", lambda: shutil.disk_usage(folder).total)


def _made(row: Metric, registry: CollectorRegistry) -> Any:
    if row.kind == "histogram":
        tally = Tally(row)
        registry.register(tally)
        return tally
    kind = Counter if row.kind == "counter" else Gauge
    made = kind(row.name, row.about, row.labels, registry=registry)
    for value in row.values:
        made.labels(value)
    return made


def serve(registry: CollectorRegistry, address: str) -> None:
    """Serve ``/metrics`` from a thread of this process. Reject where the port cannot be had."""
    host, _, port = address.rpartition(":")
    try:
        start_http_server(int(port), host.strip("[]") or THIS_MACHINE, registry)
    except (OSError, OverflowError) as error:
        raise Reject(f"--metrics-port {address}: {error}") from None
