"""What services say, as JSON on request: a line an event, with run, index and model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule
from commands import DEMO, call, ended, free_port, started

import edgestream

pytestmark = pytest.mark.processes


def told(stderr: str) -> list[dict[str, Any]]:
    """Every line is an object with the same first words."""
    lines = [json.loads(line) for line in stderr.splitlines()]
    for line in lines:
        assert list(line)[:4] == ["time", "level", "process", "pid"], line
    return lines


def test_every_line_of_a_service_is_json_with_run_index_and_model(tmp_path: Path) -> None:
    words = ("serve", "--out", tmp_path, "--port", free_port(), "--workers", 1, "--log-json")
    with started(*words) as process:
        assert process.stderr is not None
        first = [process.stderr.readline() for _ in range(3)]
        while "push with" not in first[-1]:
            first.append(process.stderr.readline())
        push_frames_without_iron(url=json.loads(first[-1])["message"].split()[-1])
        code, _, rest = ended(process, signal.SIGTERM)
    lines = told("".join(first) + rest)
    assert code == 0
    assert {line["process"] for line in lines} == {"serve", "page", "worker", "writer"}
    (dead,) = [line for line in lines if "index" in line]
    assert (dead["run"], dead["index"], dead["level"]) == ("wet", 0, "warning")
    assert dead["model"] == "fe-k@1"
    assert "(and 2 more)" in dead["message"]
    assert any(line.get("run") == "wet" and line["process"] == "writer" for line in lines)


def push_frames_without_iron(url: str) -> None:
    with edgestream.connect(url) as service:
        with service.run("wet") as run:
            run.push([molecule("H2O")] * 3)
        run.result(timeout_s=60).close()


def test_the_last_line_of_a_command_is_json_too_and_holds_no_secret() -> None:
    url = f"redis://viewer:open-sesame-1234@127.0.0.1:{free_port()}"
    environment = {**os.environ, "EDGESTREAM_LOG": "json", "EDGESTREAM_URL": url}
    done = call("status", code=3, env=environment)
    (line,) = told(done.stderr)
    assert (line["level"], line["process"]) == ("error", "status")
    assert "open-sesame" not in done.stderr + done.stdout


def test_progress_and_what_a_run_says_are_json_too(tmp_path: Path) -> None:
    done = call("--log-json", "run", DEMO, "-o", tmp_path / "md.h5", "--workers", 1, "--every", 40)
    assert {line["process"] for line in told(done.stderr)} >= {"run", "worker", "writer"}
