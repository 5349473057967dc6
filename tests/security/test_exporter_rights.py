from __future__ import annotations

import pytest
from fortress import SETTINGS, Fortress
from prometheus_client import generate_latest

from edgestream.passwords import complete_url
from stream.exporter import Exporter
from stream.redis_views import RedisViews
from stream.telemetry import METRICS

pytestmark = pytest.mark.processes


def test_an_exporter_needs_no_more_than_the_rights_of_a_viewer(fortress: Fortress) -> None:
    views = RedisViews(complete_url(fortress.url("viewer")), SETTINGS)
    found = generate_latest(Exporter(views).registry).decode()
    views.close()
    assert "edgestream_server_up 1.0" in found
    missing = {m.name for m in METRICS if m.by == "exporter" and f"\n{m.name}" not in found}
    assert missing == {"edgestream_server_memory_limit_bytes"}, "it has no limit"


def test_an_exporter_without_rights_says_that_it_sees_nothing(fortress: Fortress) -> None:
    views = RedisViews(complete_url(fortress.url("producer")), SETTINGS)
    samples = [line for line in generate_latest(Exporter(views).registry).decode().splitlines()
               if not line.startswith("#")]  # fmt: skip
    views.close()
    assert samples == ["edgestream_server_up 0.0"]
