"""A writer that dies at any step leaves a file that opens, and loses nothing it had promised."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dying_writer
import h5py
import pytest
from made_rows import RUN, OpenRun, assert_same_rows, make_rows, rows_in

from stream.result_file.survey import main_path, segments_path, survey
from xas.errors import RunRefused

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
DEAD = (3, 17)


def run_program(*arguments: object, before: tuple[str, ...] = ()) -> None:
    command = [*before, sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def last_acknowledged(log: Path) -> int:
    return int((log.read_text().split() or ["0"])[-1])


def assert_nothing_is_lost(folder: Path, acknowledged: int) -> None:
    """The main file opens and is a prefix; the folder holds all that was promised."""
    main = main_path(folder, RUN)
    if main.exists():
        with h5py.File(main) as file:
            n = len(file["entry/status"])
        assert_same_rows(rows_in(main), make_rows(0, n, dead=DEAD))
    assert survey(folder, RUN).n_frames >= acknowledged


def assert_it_goes_on(folder: Path) -> None:
    """A new writer takes over what is there, and finishes the run."""
    try:
        run = dying_writer.open_run(folder)
    except RunRefused:
        return  # it was finished
    assert not list(segments_path(folder, RUN).glob("*.tmp"))
    n = run.n_frames
    run.append(make_rows(n, 5, dead=DEAD))
    assert_same_rows(rows_in(run.finish(sealed=True)), make_rows(0, n + 5, dead=DEAD))


@pytest.mark.processes
def test_a_writer_that_dies_before_any_system_call_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # here and there: no power is cut
    run_program(HERE / "dying_writer.py", "steps", tmp_path)
    logs = sorted(tmp_path.glob("*.acknowledged"), key=lambda log: int(log.stem))
    assert len(logs) > 50
    for log in logs:
        assert_nothing_is_lost(log.with_suffix(""), last_acknowledged(log))
        assert_it_goes_on(log.with_suffix(""))
    assert last_acknowledged(logs[-1]) == dying_writer.FRAMES  # this one lived to the end


@pytest.mark.processes
def test_a_writer_killed_forty_times_at_random_moments_loses_nothing(
    tmp_path: Path, open_run: OpenRun
) -> None:
    run_program(HERE / "dying_writer.py", "moments", tmp_path)
    acknowledged = last_acknowledged(tmp_path / "acknowledged")
    assert acknowledged > 40
    assert_nothing_is_lost(tmp_path, acknowledged)
    run = open_run()
    whole = make_rows(0, run.n_frames, dead=DEAD)
    assert_same_rows(rows_in(run.finish(sealed=True)), whole)


APPEND_ONCE = """
import os, sys
from pathlib import Path
from dying_writer import open_run
from made_rows import make_rows
run = open_run(Path(sys.argv[1]))
run.append(make_rows(0, 3))
os.write(1, b"durable")
run.refresh()
"""


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_append_is_write_fsync_rename_fsync_of_the_folder(tmp_path: Path) -> None:
    log, program = tmp_path / "log", tmp_path / "program.py"
    program.write_text(APPEND_ONCE)
    calls = "trace=write,pwrite64,fsync,rename,renameat,renameat2"
    strace = ("strace", "-f", "-y", "-s", "200", "-e", calls, "-o", str(log))
    run_program(program, tmp_path / "out", before=strace)
    segments = re.escape(f"{tmp_path}/out/{RUN}.segments")
    segment = segments + r"/e000001-\d+-000000000-000000003\.h5"
    aside = segment + r"\.tmp"
    steps = [
        rf"pwrite64\(\d+<{aside}>",
        rf"fsync\(\d+<{aside}>",
        rf'rename\w*\([^)]*"{aside}", .*"{segment}"',
        rf"fsync\(\d+<{segments}>",
        r'write\(1<[^>]*>, "durable"',
        rf'rename\w*\([^)]*"{segments}/{RUN}\.h5\.tmp", .*"{tmp_path}/out/{RUN}\.h5"',
        rf"fsync\(\d+<{tmp_path}/out>",
    ]
    lines, at = log.read_text().splitlines(), -1
    for step in steps:
        at = next((i for i in range(at + 1, len(lines)) if re.search(step, lines[i])), -1)
        assert at >= 0, f"no {step} in its place"
    late = [line for line in lines if re.search(rf"pwrite64\(\d+<{aside}>", line)]
    assert lines.index(late[-1]) < next(i for i, s in enumerate(lines) if re.search(steps[1], s))
