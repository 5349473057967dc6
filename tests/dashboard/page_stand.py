"""A service with its page, and a browser that looks at it: real processes, real Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from other_versions import other_version
from playwright.sync_api import Browser, Page, sync_playwright
from ports import free_port

from edgestream.models import open_store

TOKEN = "a token of an operator that nobody guesses"
PATIENCE_MS = 60_000
BINARIES = ("chromium-headless-shell", "chromium")


def chromium() -> str:
    """Debian's binary; without one a browser test fails in CI and is left out elsewhere."""
    found = next((path for name in BINARIES if (path := shutil.which(name))), None)
    if found is None:
        words = f"no {' or '.join(BINARIES)}: apt-get install chromium-headless-shell"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium; its sandbox needs rights that root in a container does not give away."""
    binary = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Viewer:
    """A page in a browser; what the browser complains of is kept."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browser: Browser, address: str, **options: Any) -> Viewer:
        """A fresh one: nothing is remembered from others."""
        context = browser.new_context(accept_downloads=True, **options)
        context.set_default_timeout(PATIENCE_MS)
        viewer = cls(context.new_page(), address)
        viewer.page.on("pageerror", lambda error: viewer.complaints.append(str(error)))
        viewer.page.on("console", lambda said: viewer.note(said.type, said.text))
        return viewer

    def note(self, kind: str, words: str) -> None:
        """Errors of the browser: a refused script, a failed request."""
        if kind == "error":
            self.complaints.append(words)

    def open(self, place: str) -> Page:
        """Go to #run=NAME or #service and wait until it is live."""
        self.page.goto(f"{self.address}#{place}")
        self.sees("#connection", "live")
        return self.page

    def sees(self, where: str, words: str) -> None:
        """Wait until a part of the page holds these words."""
        self.page.wait_for_function(
            "([where, words]) => document.querySelector(where).innerText.includes(words)",
            arg=[where, words],
        )

    def unlock(self, token: str = TOKEN) -> None:
        """Give a token."""
        self.page.fill("#token", token)
        self.page.press("#token", "Enter")

    def numbers(self, part: str, name: str = "Numbers") -> dict[str, list[float]]:
        """What a button of a plot downloads, by column."""
        with self.page.expect_download() as download:
            self.page.locator(f"#{part} .toolbar").get_by_text(name, exact=True).click()
        lines = Path(download.value.path()).read_text().splitlines()
        heading, *rows = [line.split(",") for line in lines if not line.startswith("#")]
        return {name: [float(row[i] or "nan") for row in rows] for i, name in enumerate(heading)}


@dataclass
class Service:
    """``edgestream serve`` with a page, and a store that holds fe-k@1 and fe-k@2."""

    folder: Path
    port: int = field(default_factory=free_port)
    page_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Of the server."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.page_port}/"

    @property
    def out(self) -> Path:
        """The result files."""
        return self.folder / "out"

    @property
    def models(self) -> Path:
        """The store."""
        return self.folder / "store"

    @contextmanager
    def running(self) -> Iterator[Service]:
        """Started, ready, and ended with SIGTERM."""
        token = self.folder / "token"
        token.write_text(TOKEN + "\n")
        store = open_store(self.models)
        store.put(other_version(store.get("fe-k@1"), self.folder / "v2").folder)
        words = ["serve", "--out", self.out, "--port", self.port, "--models", self.models]
        words += ["--page-port", self.page_port, "--operator-token-file", token]
        command = [sys.executable, "-m", "edgestream", *map(str, words)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                self._wait_until_ready(process)
                yield self
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        waited_for = {"page: ", "serving on "}
        for line in process.stderr:
            waited_for -= {word for word in waited_for if line.startswith(word)}
            if not waited_for:
                return
        raise AssertionError("the service did not start")

    def kill_page(self) -> None:
        """End the page's process at once; the service starts another."""
        wanted = [b"page", b"--port", str(self.page_port).encode()]
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if set(wanted) <= set((folder / "cmdline").read_bytes().split(b"\0")):
                    os.kill(int(folder.name), signal.SIGKILL)
                    return
        raise AssertionError("no page runs")
