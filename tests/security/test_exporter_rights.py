from __future__ import annotations

import pytest
from fortress import SETTINGS, Fortress
from prometheus_client import generate_latest

from edgestream.passwords import complete_url
from edgestream.recorders import exporter_of
from stream.redis_views import RedisViews
from stream.telemetry import METRICS

pytestmark = pytest.mark.processes


def test_an_exporter_needs_no_more_than_the_rights_of_a_viewer(fortress: Fortress) -> None:
    url = complete_url(fortress.url("viewer"))
    views = RedisViews(url, SETTINGS)
    found = generate_latest(exporter_of(views, url, None).registry).decode()
    views.close()
    assert "edgestream_server_up 1.0" in found
    missing = {m.name for m in METRICS if m.by == "exporter" and f"\n{m.name}" not in found}
    assert missing == {"edgestream_server_memory_limit_bytes"}, "it has no limit"


def test_an_exporter_without_rights_says_that_it_sees_nothing(fortress: Fortress) -> None:
    url = complete_url(fortress.url("producer"))
    views = RedisViews(url, SETTINGS)
    found = generate_latest(exporter_of(views, url, None).registry).decode()
    samples = [line for line in found.splitlines() if not line.startswith("#")]
    views.close()
    assert samples == ["edgestream_server_up 0.0", "edgestream_jobs_server_up 0.0"]
