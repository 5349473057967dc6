"""Who is told what a process does: Prometheus where a port was asked for, OpenTelemetry's exporter
where its variables name one, else nobody."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stream.recorder import Recorder, Several
from stream.redis_views import RedisViews
from stream.service import say

if TYPE_CHECKING:
    from stream.exporter import Exporter

Gauges = Mapping[tuple[str, str], Callable[[], float]]
PATIENCE_S = 5.0  # Prometheus waits for ten
OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def recorder_of(process: str, metrics: str | None, *, out: Path | None = None) -> Recorder:
    """For a ``producer``, ``worker`` or ``writer``; serves metrics at once. ``out``: a writer's."""
    found = [*_meter(process, metrics, out), *_tracer(process)]
    return found[0] if len(found) == 1 else Several(found) if found else Recorder()


def _meter(process: str, metrics: str | None, out: Path | None) -> list[Recorder]:
    if metrics is None:
        return []
    from stream.metrics import Meter, serve

    meter = Meter(process)
    if out is not None:
        meter.watch_disk(out)
    serve(meter.registry, metrics)
    return [meter]


def _tracer(process: str) -> list[Recorder]:
    named = [name for name in OTLP_VARIABLES if os.environ.get(name)]
    if not named:
        return []
    try:
        from stream.tracing import Tracer
    except ImportError:
        say(f"no traces, though ${named[0]} is set: pip install 'edgestream[otel]'")
        return []
    return [Tracer(process)]


def serve_gauges(process: str, address: str | None, values: Gauges) -> None:
    """Serve what a ``trainer`` or ``labeller`` knows by itself; ``values``: by name and label."""
    if address is None:
        return
    from stream.metrics import Meter, serve

    meter = Meter(process)
    for (name, label), value in values.items():
        meter.watch(name, value, label)
    serve(meter.registry, address)


def serve_exporter(views: RedisViews, address: str, url: str, jobs_url: str | None) -> None:
    """Serve the metrics of the service as a whole, from a thread of this process."""
    from stream.metrics import serve

    serve(exporter_of(views, url, jobs_url).registry, address)


def exporter_of(views: RedisViews, url: str, jobs_url: str | None) -> Exporter:
    """Labels lie at ``url``, jobs there too where no other server is named."""
    from stream.exporter import LABEL, TRAIN, Exporter
    from stream.jobs import CALCULATIONS, Jobs
    from stream.redis_label_stream import RedisLabelStream

    where = jobs_url or url
    queues = {
        TRAIN: Jobs(where, timeout_s=PATIENCE_S),
        LABEL: Jobs(where, name=CALCULATIONS, timeout_s=PATIENCE_S),
    }
    return Exporter(views, RedisLabelStream(url, views.settings), queues)


def next_address(address: str, steps: int) -> str:
    """The address so many ports further on."""
    host, colon, port = address.rpartition(":")
    return f"{host}{colon}{int(port) + steps}"
