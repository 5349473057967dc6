"""OpenTelemetry spans: the push, prediction and writing of a block of frames as one trace.

The block carries the context of its push (W3C traceparent), through the server and a producer's
spool, to the writer; prediction and writing are children of the push. A block that was pushed
without a trace has none later. Needs the extra ``otel``; where spans go is said by OpenTelemetry's
own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, ...).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stream.codec import decode
from stream.messages import FrameBlock
from stream.recorder import Predicted, Recorder, Written
from xas.errors import BadMessage

_TRACEPARENT = "traceparent"
_W3C = TraceContextTextMapPropagator()


class Tracer(Recorder):
    """Makes spans of what a process tells; they leave in batches, from a thread."""

    def __init__(self, process: str, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create({SERVICE_NAME: f"edgestream-{process}"})
        self.provider = TracerProvider(resource=resource)
        self.provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self.provider.get_tracer("edgestream")
        self._pushing = threading.local()  # a program may push several runs at a time

    def begin(self, run: str, first: int, n_frames: int) -> str:
        """See Recorder."""
        attributes = _attributes(run, first, n_frames)
        span = self._tracer.start_span("push", kind=SpanKind.PRODUCER, attributes=attributes)
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span))
        self._pushing.span = span
        return carrier.get(_TRACEPARENT, "")

    def accepted(self, n_frames: int) -> None:
        """See Recorder."""
        del n_frames
        self._end_push(Status())

    def dropped(self, n_frames: int, policy: str) -> None:
        """See Recorder."""
        del n_frames
        self._end_push(Status(StatusCode.ERROR, f"not accepted, policy {policy}"))

    def _end_push(self, status: Status) -> None:
        span: Span = self._pushing.span
        span.set_status(status)
        span.end()

    def predicted(self, batch: Predicted) -> None:
        """See Recorder."""
        more = {"edgestream.model": batch.model, "edgestream.batch_frames": batch.n_frames}
        self._children("predict", batch.blocks, batch.began, batch.ended, more)

    def written(self, rows: Written) -> None:
        """See Recorder."""
        blocks = (block for part in rows.frames for payload in part for block in _read(payload))
        self._children("write", blocks, rows.began, rows.ended, {})

    def _children(
        self,
        name: str,
        blocks: Iterable[FrameBlock],
        began: float,
        ended: float,
        more: dict[str, Any],
    ) -> None:
        for block in blocks:
            context = _W3C.extract({_TRACEPARENT: block.trace}) if block.trace else None
            if context is None or not get_current_span(context).get_span_context().is_valid:
                continue
            span = self._tracer.start_span(
                name,
                context=context,
                kind=SpanKind.CONSUMER,
                attributes={**_attributes(block.run, block.first, block.n_frames), **more},
                start_time=int(1e9 * began),
            )
            span.end(int(1e9 * ended))


def _attributes(run: str, first: int, n_frames: int) -> dict[str, Any]:
    return {
        "edgestream.run": run,
        "edgestream.first": first,
        "edgestream.frames": n_frames,
    }


def _read(payload: bytes) -> list[FrameBlock]:
    """The block; none where the bytes are not ours."""
    try:
        return [decode(payload, FrameBlock)]
    except BadMessage:
        return []
