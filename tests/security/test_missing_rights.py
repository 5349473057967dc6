"""Who may not do something is told so in one line, with the role and what to do about it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from fortress import SETTINGS, Fortress

from edgestream.demo_command import demo_trajectory
from edgestream.settings_words import settings_as_options

pytestmark = pytest.mark.processes
PUSH = ("push", demo_trajectory(), "--run", "md", "--every", 40, "-q")


def test_a_role_that_may_not_push_is_told_which_and_why(fortress: Fortress) -> None:
    words = [str(w) for w in (*PUSH, "--redis-url", fortress.url("viewer"))]
    done = subprocess.run(
        [sys.executable, "-m", "edgestream", *words], capture_output=True, text=True, check=False
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 3
    assert "refuses its user 'viewer'" in line
    assert "edgestream acl --help" in line
    assert "edgestream serve" not in line


def test_a_push_before_the_scripts_are_there_waits_for_the_writer(
    fortress: Fortress, tmp_path: Path
) -> None:
    fortress.stop()
    fortress.start(load=False)
    log = fortress.folder / "push.log"
    log.unlink(missing_ok=True)
    with fortress.process("producer", *PUSH) as producer:
        end = time.monotonic() + 90
        while "the writer loads them when it starts" not in log.read_text():
            assert producer.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        with fortress.process(
            "writer", "writer", "--out", tmp_path, *settings_as_options(SETTINGS)
        ):
            assert producer.wait(timeout=90) == 0, log.read_text()
