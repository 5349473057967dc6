"""The compose file, for real: its own project, ports and secrets, taken down at the end."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ports import free_port

ROOT = Path(__file__).parents[2]
HAS_DOCKER_COMPOSE = not shutil.which("podman-compose")
ENGINE = "docker" if HAS_DOCKER_COMPOSE else "podman"
COMPOSE = ["docker", "compose"] if HAS_DOCKER_COMPOSE else ["podman-compose"]
PATIENCE_S = 180.0


class Compose:
    """A project of containers. ``url`` leads to its server from outside."""

    def __init__(self, folder: Path) -> None:
        self.project = f"edgestream-test-{os.getpid()}"
        self.ports = {name: free_port() for name in ("EDGESTREAM", "DASHBOARD", "PROMETHEUS")}
        self._secrets = folder / "secrets"
        self._secrets.mkdir(mode=0o700)
        for name in ("redis", "grafana"):
            file = self._secrets / f"{name}_password"
            file.write_text(secrets.token_urlsafe(24) + "\n")
            file.chmod(0o644)
        password = self._secrets / "redis_password"
        self.url = f"redis://127.0.0.1:{self.ports['EDGESTREAM']}?password_file={password}"

    def __call__(self, *words: str) -> str:
        named = {f"{name}_PORT": str(port) for name, port in self.ports.items()}
        environment = os.environ | named | {"EDGESTREAM_SECRETS": str(self._secrets)}
        return _output([*COMPOSE, "-p", self.project, *words], environment)

    def containers(self, service: str) -> list[str]:
        """The living containers of a service, the oldest first."""
        labels = {"project": self.project, "service": service}
        asked = [f"--filter=label=com.docker.compose.{name}={is_}" for name, is_ in labels.items()]
        return engine("ps", "--quiet", *asked).split()[::-1]

    def the(self, service: str) -> str:
        """The only container of a service."""
        (found,) = self.containers(service)
        return found

    def down(self) -> None:
        """Remove containers and volumes, those started beside the file too."""
        everything = f"--filter=label=com.docker.compose.project={self.project}"
        if found := engine("ps", "--all", "--quiet", everything).split():
            engine("rm", "--force", *found)
        self("down", "--volumes")


def engine(*words: str) -> str:
    return _output([ENGINE, *words], dict(os.environ))


def inside(container: str, *words: str) -> str:
    return engine("exec", container, *words)


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.5)


def _output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
