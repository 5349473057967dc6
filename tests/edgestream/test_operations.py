"""docs/operations.md does what it says: its commands, in its order; units and containers parse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from commands import DEMO, call, service, status, until
from typer.main import get_command

import edgestream
from edgestream.cli import app

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "operations.md"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMMANDS = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder beside a service with a finished run and an open one, and the environment."""
    folder = tmp_path_factory.mktemp("host")
    program = folder / "bin" / "edgestream"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgestream "$@"\n')
    program.chmod(0o755)
    with service(folder / "results", "--workers", 1) as url:
        call("push", DEMO, "--run", "md", "--every", 10, "--redis-url", url)
        until(lambda: all(run["finished"] for run in status(url)["runs"]))
        path = f"{program.parent}:{os.environ['PATH']}"
        models = {"EDGESTREAM_MODELS": str(folder / "models")}
        here = {"PATH": path, "EDGESTREAM_URL": url, "PYTHONPATH": str(ROOT)} | models
        with edgestream.connect(url) as es, es.run("live", model="fe-k"):
            yield folder, os.environ | here


@pytest.mark.processes
def test_the_commands_of_the_guide_do_what_it_says(host: tuple[Path, dict[str, str]]) -> None:
    folder, environment = host
    assert len(COMMANDS) > 5
    done = subprocess.run(
        ["bash", "-exuo", "pipefail", "-c", "".join(COMMANDS)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"backup", "mended.h5", "restored.h5"} <= {path.name for path in folder.iterdir()}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "edgestream" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    (words,) = re.findall(r"^ExecStart=\S+/(\S+) (.*)$", unit.read_text(), re.MULTILINE)
    if words[0] == "edgestream":
        assert_known(words[1].split())


def test_the_containers_start_commands_that_there_are() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ours = {name: part for name, part in services.items() if "EDGESTREAM" in part["image"]}
    assert {"worker", "writer", "exporter", "dashboard", "trainer", "worker-gpu"} == set(ours)
    for part in ours.values():
        assert_known(part["command"])


def test_every_container_is_closed_from_outside_and_has_a_healthcheck() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for part in services.values():
        assert part["read_only"]
        assert part["cap_drop"] == ["ALL"]
        assert part["healthcheck"]
        assert all(
            port.startswith("${EDGESTREAM_ADDRESS:-127.0.0.1}:") for port in part.get("ports", [])
        )


def assert_known(words: list[str]) -> None:
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {word for option in command.params for word in option.opts}
    assert {word for word in words if word.startswith("--")} <= known, words
