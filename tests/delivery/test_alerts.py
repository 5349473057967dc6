"""What Prometheus sees of a service, and which alert fires for which fault: all of it is real."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import prometheus
import pytest
import yaml
from grafana import expressions
from prometheus import Prometheus, watching
from stand import moving_frames
from watched import PARTS, WatchedStand

from stream.telemetry import METRICS

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not prometheus.IS_HERE, reason=prometheus.WHY_NOT),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A disk of 64 MB of its own; None where nothing may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place]
    mounted = subprocess.run(words, capture_output=True).returncode == 0
    yield place if mounted else None
    if mounted:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def stand(tmp_path: Path, disk: Path | None) -> Iterator[WatchedStand]:
    stand = WatchedStand(tmp_path)
    stand.out = disk or stand.out
    for part in PARTS:
        stand.start_part(part)
    yield stand
    stand.close()


@pytest.fixture
def watch(tmp_path: Path, stand: WatchedStand) -> Iterator[Prometheus]:
    with watching(tmp_path / "prometheus", list(stand.ports.values())) as found:
        found.until(lambda: found.values('sum(up{job="edgestream"})') == [3.0], "all are scraped")
        yield found


@pytest.mark.parametrize(
    "words",
    [
        "check rules alerts.yml",
        "check config prometheus.yml",
        "check config one-machine.yml",
        "test rules alerts.test.yml",
    ],
)
def test_promtool_is_content(words: str) -> None:
    folder = prometheus.RULES.parent
    done = subprocess.run(["promtool", *words.split()], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_sees_a_run_and_every_alert_fires_for_its_fault(
    stand: WatchedStand, watch: Prometheus, disk: Path | None
) -> None:
    stand.push("good", moving_frames(300)).seal()
    stand.wait_until_finished("good").close()
    see_the_run(watch)
    fired: set[str] = set()
    for fault, alerts in stand.faults(disk):
        wanted = {f"Edgestream{name}" for name in alerts}
        watch.until(lambda wanted=wanted: not wanted & watch.firing(), f"no {alerts}")  # type: ignore[misc]
        fault()
        watch.until(lambda wanted=wanted: wanted <= watch.firing(), str(alerts))  # type: ignore[misc]
        fired |= wanted
    (group,) = yaml.safe_load(prometheus.RULES.read_text())["groups"]
    unseen = {rule["alert"] for rule in group["rules"]} - fired
    assert unseen <= (set() if disk else {"EdgestreamDiskFilling"})


def see_the_run(watch: Prometheus) -> None:
    """Its numbers are what they must be; every metric is set, and every panel shows something."""
    expected = {
        "accepted_frames_total": 300,
        "completed_frames_total": 300,
        "written_rows_total": 300,
        "disk_rows": 300,
        "batch_frames_sum": 300,
        "backlog_frames": 0,
        'model_info{model="fe-k", version="1"}': 1,
    }
    for name, number in expected.items():
        watch.until(lambda n=name, k=number: watch.values(f"edgestream_{n}") == [k], name)  # type: ignore[misc]
    for row in (m for m in METRICS if m.by in PARTS):
        name = f"{row.name}_count" if row.kind == "histogram" else row.name
        assert watch.values(name), f"{name} is never set"
    for expression in expressions():
        assert watch.ask("query", query=expression)["result"], expression
    assert watch.firing() == set()
