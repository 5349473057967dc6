"""A real Prometheus beside a stand: with our configuration and rules, in less time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
IS_HERE = bool(shutil.which("prometheus") and shutil.which("promtool"))
WHY_NOT = "no prometheus and promtool on PATH (Debian: apt-get install prometheus)"
PATIENCE_S = 60.0


@dataclass
class Prometheus:
    """Asked over its own interface."""

    url: str
    process: subprocess.Popen[bytes]

    def ask(self, path: str, **words: str) -> Any:
        query = urllib.parse.urlencode(words)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """What an expression is now, one number a series."""
        found = self.ask("query", query=expression)["result"]
        return [float(sample["value"][1]) for sample in found]

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}

    def until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not _answered(true):
            assert time.monotonic() < end, f"never: {what}; firing: {self.firing()}"
            assert self.process.poll() is None, "Prometheus has ended"
            time.sleep(0.1)


def _answered(true: Callable[[], object]) -> bool:
    try:
        return bool(true())
    except urllib.error.URLError:
        return False


def sooner(rules: str) -> str:
    """The rules, with nothing to wait for: no ``for``, and 3 s of age instead of 300."""
    return re.sub(r"( +)for: \w+\n", "", rules).replace("> 300\n", "> 3\n")


def _configuration(ports: Sequence[int]) -> dict[str, Any]:
    """That of one machine, with these ports."""
    found = yaml.safe_load((DEPLOY / "prometheus" / "one-machine.yml").read_text())
    found["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    (job,) = found["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    return found


@contextmanager
def watching(folder: Path, ports: Sequence[int]) -> Iterator[Prometheus]:
    """Prometheus, scraping these ports of this machine, with our rules."""
    folder.mkdir()
    (folder / "alerts.yml").write_text(sooner(RULES.read_text()))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(ports)))
    address = f"127.0.0.1:{free_port()}"
    words = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, f"--web.listen-address={address}"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(f"http://{address}", process)
    finally:
        process.terminate()
        process.wait(timeout=30)
