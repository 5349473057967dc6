"""The demo: its page, and the dynamics that it runs itself where that can be."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import edgestream
from edgestream.demo_command import has_dynamics


def demo(out: Path, *words: str) -> str:
    """What it says on standard error; it must end well."""
    command = [sys.executable, "-m", "edgestream", "demo", "--out", str(out), "--page-port", "0"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.processes
def test_the_demo_has_a_page(tmp_path: Path) -> None:
    said = demo(tmp_path, "--frames", "30", "--rate", "1000")
    assert "page: http://127.0.0.1:" in said
    with edgestream.open_run(tmp_path / "demo.h5") as run:
        assert (len(run), run.sealed) == (30, True)


@pytest.mark.processes
def test_a_live_demo_runs_a_dynamics_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="needs the extra demo-input")
    said = demo(tmp_path, "--live", "--frames", "4")
    assert "in a browser" in said
    with edgestream.open_run(tmp_path / "demo.h5") as run:
        assert run.times.tolist() == [0.0, 4.0, 8.0, 12.0]
        moved = run.structures(slice(0, 4)).positions.reshape(4, 17, 3)
        assert (abs(moved[1:] - moved[:-1]).max(axis=(1, 2)) > 1e-3).all()


def test_without_tblite_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said: list[str] = []
    assert not has_dynamics(said.append)
    assert "pip install 'edgestream[demo-input]'" in said[0]
