"""The remedies of ``edgestream status`` are such that they help where they are asked for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from ports import free_port

from edgestream.embedded import EmbeddedServer
from edgestream.passwords import complete_url, make_password
from edgestream.status import look
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.redis_label_stream import RedisLabelStream
from stream.settings import Settings

pytestmark = pytest.mark.processes


def test_a_remedy_names_the_server_and_the_password_that_status_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGESTREAM_URL", raising=False)
    password, port = make_password(tmp_path / "password"), free_port()
    given = f"redis://127.0.0.1:{port}?password_file={tmp_path}/password"
    with EmbeddedServer(port=port, password=password) as server:
        with closing(RedisBroker(server.url)) as broker:
            producer = Producer(broker, "lonely", RunSpec(model="fe-k"))
            broker.pause("lonely")
            producer.close()
        with closing(RedisLabelStream(server.url)) as labels:
            labels.push([b"a label"])
        *found, last = look(complete_url(given), Settings()).trouble
        assert "edgestream resume lonely" in found[0]
        assert found[-1].endswith("no trainer takes them in: edgestream trainer NAME --labels DIR")
        assert f"--redis-url 'redis://127.0.0.1:{port}?password_file=FILE'" in last
        monkeypatch.setenv("EDGESTREAM_URL", given)
        assert look(complete_url(given), Settings()).trouble == found
