"""Servers that are closed to strangers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fortress import Fortress, bundled, tools_are_there


@pytest.fixture(scope="module", params=["redis-7-with-tls", "valkey-9"])
def fortress(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fortress]:
    tls = request.param == "redis-7-with-tls"
    if tls and not tools_are_there():
        pytest.skip("no redis-server or no openssl on PATH")
    folder = tmp_path_factory.mktemp("fortress")
    made = Fortress(folder, "redis-server" if tls else bundled(), tls)
    yield made
    made.stop()
