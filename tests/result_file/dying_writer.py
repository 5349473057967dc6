"""A program for the kill tests: writers that die, one after the other, in forked children.

    dying_writer.py steps FOLDER    dies before the 1st, 2nd, 3rd, ... system call of a whole run,
                                    the first three times that a line makes it before and behind the
                                    interruption; FOLDER/k and FOLDER/k.acknowledged for each
    dying_writer.py moments FOLDER  is killed 40 times at random moments, in one folder

What ``append`` returned for is written to the file ``acknowledged`` before anything else.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from made_rows import HEADER, RUN, make_rows

from stream.result_file import merging
from stream.result_file.run_folder import RunFolder
from stream.result_file.survey import highest_epoch

lives = 1
CALLS = ("open", "pwrite", "ftruncate", "fsync", "rename", "link", "unlink", "mkdir", "rmdir")
FRAMES_BEFORE, FRAMES = 8, 18  # interrupted after 8, when eight segments have been merged


def open_run(folder: Path, refresh_s: float = 1e9) -> RunFolder:
    epoch = highest_epoch(folder, RUN) + 1
    run = RunFolder.recover(folder, RUN, header=HEADER, epoch=epoch, grace_s=0, refresh_s=refresh_s)
    run.add_model("fe-k", "1", "ab" * 32)
    return run


def write(run: RunFolder, until: int, acknowledged: int, largest: int) -> None:
    for number in itertools.count():
        if run.n_frames >= until:
            return
        n = min(random.randint(1, largest), until - run.n_frames)
        run.append(make_rows(run.n_frames, n, dead=(3, 17)))
        os.write(acknowledged, f"{run.n_frames}\n".encode())
        run.refresh(force=number in (0, 7))


def die_before(number: int) -> None:
    """Kill this process before the system call of that number."""
    made: Counter[object] = Counter()
    count = 0

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal count
            caller = sys._getframe(1)
            line = (caller.f_code, caller.f_lineno, lives)
            made[line] += 1
            count += made[line] <= 3
            if count == number and made[line] <= 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))


def in_child(work: Callable[[], None]) -> int:
    """The process that works."""
    if pid := os.fork():
        return pid
    try:
        work()
    except BaseException:  # noqa: BLE001 (a child must never go on as its parent)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def whole_run(folder: Path, acknowledged: int, number: int) -> None:
    """Appends, merges, an interruption, its adoption, and the end."""
    global lives
    random.seed(1)
    os.fsync = lambda fd: None  # a killed process loses nothing that it wrote; this is faster
    die_before(number)
    run = open_run(folder)
    write(run, FRAMES_BEFORE, acknowledged, 1)
    run.finish(sealed=False, interrupted=True)
    lives = 2
    run = open_run(folder)
    write(run, FRAMES, acknowledged, 10)
    run.finish(sealed=True)


def steps(base: Path) -> None:
    for number in range(1, 10_000):
        folder = base / str(number)
        log = os.open(f"{folder}.acknowledged", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        pid = in_child(lambda: whole_run(folder, log, number))  # noqa: B023
        os.close(log)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


def moments(folder: Path) -> None:
    log = os.open(folder / "acknowledged", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    for number in range(40):
        random.seed(number)
        pid = in_child(lambda: write(open_run(folder, 0.02), 1 << 40, log, 20))
        time.sleep(0.02 + 0.2 * random.random())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    merging.MOST = 7
    {"steps": steps, "moments": moments}[sys.argv[1]](Path(sys.argv[2]))
