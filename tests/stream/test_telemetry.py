"""The table of metrics is what processes give, what the papers say, and what rules ask for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from rigs import SPEC, Rig

from edgestream.options import metrics_address
from edgestream.recorders import next_address
from stream.codec import Array
from stream.memory_broker import MemoryBroker
from stream.messages import ResultBlock
from stream.metrics import Meter, serve
from stream.producer import Producer
from stream.recorder import Recorder, Several, Written
from stream.settings import Settings
from stream.tally import Tally
from stream.telemetry import METRICS, REASONS, markdown, metric
from xas.errors import Backpressure, Reject

ROOT = Path(__file__).parents[2]
ENDINGS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def value(meter: Meter, name: str, **labels: str) -> float | None:
    return meter.registry.get_sample_value(f"edgestream_{name}", labels)


def test_the_docs_hold_the_table_that_the_command_prints() -> None:
    assert markdown() in (ROOT / "docs/metrics.md").read_text()


def test_names_say_what_is_counted_and_in_which_unit() -> None:
    names = [m.name for m in METRICS]
    assert len(set(names)) == len(names)
    for m in METRICS:
        assert re.fullmatch(r"edgestream(_[a-z]+)+", m.name)
        assert m.name.endswith("_total") == (m.kind == "counter")
        assert m.about.endswith(".")


@pytest.mark.parametrize(
    "path", ["deploy/prometheus/alerts.yml", "deploy/grafana/dashboards/edgestream.json"]
)
def test_rules_and_panels_ask_for_nothing_that_is_not_in_the_table(path: str) -> None:
    known = {m.name + ending for m in METRICS for ending in ENDINGS[m.kind]}
    asked = set(re.findall(r"\bedgestream_\w+", (ROOT / path).read_text()))
    assert asked
    assert asked <= known


@pytest.mark.parametrize("by", ["producer", "worker", "writer"])
def test_a_process_gives_its_own_rows_and_no_others(by: str) -> None:
    given = {m.name.removeprefix("process_") for m in Meter(by).registry.collect()}
    given = {name for name in given if name.startswith("edgestream_")}
    assert given == {m.name.removesuffix("_total") for m in METRICS if m.by == by}


def test_errors_of_any_class_have_a_label_of_few() -> None:
    meter = Meter("worker")
    meter.completed(5, ["BadStructure", "NoSuchThing", "FloatingPointError"])
    dead = {r: value(meter, "dead_lettered_frames_total", reason=r) for r in REASONS}
    assert dead == dict.fromkeys(REASONS, 0.0) | {"BadStructure": 1.0, "other": 2.0}
    assert value(meter, "completed_frames_total") == 5.0


def test_a_tally_counts_as_the_librarys_own_histogram_does() -> None:
    row = metric("edgestream_queue_seconds")
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally, peer = Tally(row), Histogram(row.name, row.about, buckets=row.buckets, registry=theirs)
    ours.register(tally)
    for seconds in (0.0, 0.001, 0.0011, 0.3, 0.5, 299.9, 300.0, 301.0, 1e9):
        tally.observe(seconds)
        peer.observe(seconds)
    lines = [b"\n".join(x for x in generate_latest(r).splitlines() if b"_created" not in x)
             for r in (ours, theirs)]  # fmt: skip
    assert lines[0] == lines[1]
    tally.observe(-5.0)  # clocks of hosts differ
    assert ours.get_sample_value("edgestream_queue_seconds_sum") == pytest.approx(1e9 + 902.2021)


def test_a_model_that_left_is_not_at_work_any_more() -> None:
    meter = Meter("worker")
    meter.models(["fe-k@1", "ni-k@4"], 0)
    meter.models(["fe-k@2", "ni-k@4"], 1)
    assert value(meter, "model_info", model="fe-k", version="1") is None
    assert value(meter, "model_info", model="fe-k", version="2") == 1.0
    assert value(meter, "model_swaps_total") == 1.0


def test_a_result_that_nobody_could_read_has_no_age() -> None:
    meter = Meter("writer")
    aged = result(t_pushed=[90.0, 95.0])
    rows = Written(
        run="md", n_rows=4, results=[aged, result([])], frames=[], began=99.0, ended=100.0
    )
    meter.written(rows)
    assert value(meter, "written_rows_total") == 4.0
    assert value(meter, "end_to_end_seconds_count") == 1.0
    assert value(meter, "end_to_end_seconds_sum") == 10.0


def result(t_pushed: list[float]) -> ResultBlock:
    nothing = Array.of(np.zeros(0, dtype=np.float32))
    pushed = Array.of(np.array(t_pushed))
    return ResultBlock(
        run="md", first=0, n_frames=2, model="", t_predicted=0.0, ours=bool(t_pushed),
        status=nothing, t_pushed=pushed, site_frame=nothing, site_atom=nothing,
        intensity=nothing, errors=nothing, novelty=nothing, reasons={},
    )  # fmt: skip


@pytest.mark.parametrize("policy", ["drop", "raise", "block"])
def test_a_producer_counts_what_is_not_accepted_by_its_policy(policy: str, clock: Clock) -> None:
    meter, settings = Meter("producer"), Settings(high_water_bytes=1)
    producer = Producer(
        MemoryBroker(settings, clock), "md", SPEC, settings=settings, clock=clock,
        sleep=clock.sleep, policy=policy, deadline_s=1.0, recorder=Several([Recorder(), meter]),
    )  # type: ignore[arg-type]  # fmt: skip
    producer.push(iron_oxides(1))  # a block larger than the mark passes where nothing is held
    if policy == "drop":
        producer.push(iron_oxides(2))
    else:
        with pytest.raises(Backpressure):
            producer.push(iron_oxides(2))
    assert value(meter, "pushed_frames_total") == 1.0
    assert value(meter, "dropped_frames_total", policy=policy) == 2.0


def test_a_port_that_is_taken_is_refused_in_one_line() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Reject, match=f"--metrics-port {address}"):
            serve(CollectorRegistry(), address)


@pytest.mark.parametrize("words", ["9400", "0.0.0.0:9400", "[::1]:9400", "metrics.example:9400"])
def test_an_address_is_a_port_or_a_host_and_a_port(words: str) -> None:
    assert metrics_address(words) == words
    assert next_address(words, 2) == words.replace("9400", "9402")


@pytest.mark.parametrize(
    "words", ["", "0", "65536", "http://x:9400", "x:", ":9400", "9400/metrics"]
)
def test_an_address_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(Reject, match="it is PORT or HOST:PORT"):
        metrics_address(words)


@pytest.mark.processes
def test_every_broker_knows_how_long_the_oldest_has_waited(rig: Rig) -> None:
    def ages() -> dict[str, float]:
        return dict(rig.broker.shards()[0].oldest_s)

    assert ages() == {"frames": 0.0, "results": 0.0}
    opened = rig.open_run()
    rig.push(opened, 0)
    rig.wait(0.2)
    rig.push(opened, 1)
    assert 0.2 <= ages()["frames"] < 60
    first, second = rig.take()
    assert ages()["frames"] >= 0.2, "what a worker has in hand waits too"
    rig.complete(first)
    rig.complete(second)
    rig.wait(0.1)
    assert ages()["frames"] == 0.0
    assert ages()["results"] >= 0.1
