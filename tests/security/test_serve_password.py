"""The port that `edgestream serve` opens is for its user, whoever else is on the machine."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port

from edgestream.passwords import complete_url, port_file
from stream.redis_connection import RedisConnection
from stream.url_secrets import shown
from xas.errors import ServerUnreachable

pytestmark = pytest.mark.processes


def test_the_port_asks_for_a_password_that_only_its_user_finds(tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "out"
    words = ("serve", "--out", str(out), "--port", str(port), "--workers", "1")
    url = f"redis://127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, "-m", "edgestream", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if "serving on" in line)
            stranger, owner = RedisConnection(url), RedisConnection(complete_url(url))
            with pytest.raises(ServerUnreachable, match="login"):
                stranger.command("PING")
            assert owner.command("PING") == b"PONG"
            owner.close()
        finally:
            process.terminate()
    path = port_file(port)
    assert oct(stat.S_IMODE(path.stat().st_mode)) == "0o600"
    assert path.read_text().strip() not in said
    assert shown(complete_url(url)) == url
