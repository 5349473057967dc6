"""A block's push, prediction and writing are one trace, over three processes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand import Stand, moving_frames

from edgestream.demo_command import demo_trajectory
from stream.codec import decode, encode
from stream.messages import FrameBlock

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
from collector import Collector, SeenSpan, collecting

pytestmark = pytest.mark.processes
N_FRAMES = 50


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and processes that are told of it."""
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found


@pytest.fixture
def stand(tmp_path: Path, collector: Collector) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def push(stand: Stand, run: str) -> None:
    every = str(400 // N_FRAMES)
    words = ("push", str(demo_trajectory()), "--run", run, "--every", every, "-q")
    module = [sys.executable, "-m", "edgestream", *words, "--redis-url", stand.url]
    stand.start_command(f"push {run}", [*module, "--set", "block_atoms=170"])


def named(spans: list[SeenSpan], name: str) -> dict[str, SeenSpan]:
    """By trace; each trace has one of a name."""
    found = {span.trace: span for span in spans if span.name == name}
    assert len(found) == sum(span.name == name for span in spans)
    return found


def test_push_prediction_and_writing_of_a_block_are_one_trace(
    stand: Stand, collector: Collector
) -> None:
    stand.start_worker()
    stand.start_writer()
    push(stand, "md")
    stand.wait_until_finished("md").close()
    stand.close_processes()
    pushes, predictions, writings = (
        named(collector.spans, name) for name in ("push", "predict", "write")
    )
    assert sum(s.facts["edgestream.frames"] for s in pushes.values()) == N_FRAMES
    assert pushes.keys() == predictions.keys() == writings.keys()
    for trace, first in pushes.items():
        for later in (predictions[trace], writings[trace]):
            assert later.parent == first.id
            assert later.facts["edgestream.run"] == "md"
            assert later.facts["edgestream.first"] == first.facts["edgestream.first"]
        assert first.began_ns <= predictions[trace].began_ns <= writings[trace].ended_ns
    assert {s.facts["edgestream.model"] for s in predictions.values()} == {"fe-k@1"}
    assert Counter(s.process for s in collector.spans).keys() == {
        "edgestream-producer", "edgestream-worker", "edgestream-writer",
    }  # fmt: skip


def test_a_block_that_is_not_traced_has_no_byte_for_it_and_leaves_no_span(
    stand: Stand, collector: Collector
) -> None:
    block = FrameBlock.of(moving_frames(1), run="md", first=0, model="fe-k", t_pushed=0.0)
    assert b"trace" not in encode(block)
    assert decode(encode(block), FrameBlock).trace == ""
    stand.start_worker()
    stand.start_writer()
    with stand.pushing("untraced", moving_frames(50)):
        pass
    stand.wait_until_finished("untraced").close()
    stand.close_processes()
    assert collector.spans == []


@pytest.mark.parametrize("trace", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é" * 99])
def test_a_context_that_is_none_leaves_no_span(trace: str) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from stream.recorder import Predicted
    from stream.tracing import Tracer

    seen = InMemorySpanExporter()
    tracer = Tracer("worker", seen)
    block = FrameBlock.of(
        moving_frames(1), run="md", first=0, model="fe-k", t_pushed=0.0, trace=trace
    )
    tracer.predicted(
        Predicted(
            blocks=[block], n_frames=1, n_atoms=17, model="fe-k@1", featurise_s=0.0, infer_s=0.0,
            began=1.0, ended=2.0,
        )
    )  # fmt: skip
    tracer.provider.shutdown()
    assert seen.get_finished_spans() == ()
