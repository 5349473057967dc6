"""``make cluster``: the batch script on a real Slurm. Needs sbatch and a node that is up."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stand import SETTINGS, Stand, assert_all_predicted, moving_frames

from edgestream.settings_words import settings_as_options

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "workers.sbatch"
FRAMES = 8_000


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    standing = Stand(tmp_path)
    standing.start_writer()
    yield standing
    standing.close()


@pytest.fixture
def array(stand: Stand) -> Iterator[str]:
    """Two workers as an array job, one at a time: a test node has no memory for more; its id."""
    program = stand.folder / "edgestream"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgestream "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "EDGESTREAM": str(program),
        "EDGESTREAM_URL": stand.url,
        "EDGESTREAM_OPTIONS": shlex.join(settings_as_options(SETTINGS)),
    }
    words = ["--parsable", "--array=0-1%1", "--mem-per-cpu=0", f"--chdir={stand.folder}"]
    job = slurm("sbatch", *words, str(SCRIPT), environment=environment).strip()
    yield job
    slurm("scancel", job)
    until(lambda: not slurm("squeue", "-h", "-j", job, "-o", "%i", may_fail=True).strip())


def slurm(*words: str, environment: dict[str, str] | None = None, may_fail: bool = False) -> str:
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert may_fail or done.returncode == 0, (words, done.stderr)
    return done.stdout


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.2)


pytestmark = pytest.mark.skipif(not shutil.which("sbatch"), reason="no Slurm here")


@pytest.mark.parametrize("how", ["KILL", "TERM"])
def test_a_worker_that_slurm_ends_loses_nothing(stand: Stand, array: str, how: str) -> None:
    stand.wait_for_workers(1)
    frames = moving_frames(FRAMES)
    with stand.pushing("md", frames):
        stand.wait("md", lambda state: state.watermark > 0)
        slurm("scancel", f"--signal={how}", f"{array}_0")
        until(lambda: f"{array}_0" not in slurm("squeue", "-h", "-r", "-t", "R", "-o", "%F_%K"))
        assert stand.broker.run("md").watermark < FRAMES, "it ended while there was work"
    assert_all_predicted(stand.wait_until_finished("md"), frames)


def test_a_worker_whose_time_is_over_ends_by_itself(stand: Stand) -> None:
    said = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --signal=TERM@60" in said
