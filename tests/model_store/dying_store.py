"""A program for the kill tests: one change of a store, in children that die at each step.

dying_store.py CHANGE TEMPLATE FOLDER BUNDLE   FOLDER/k: a copy of TEMPLATE, changed by a child
                                               that strace killed at its k-th system call that
                                               changes the disk; prints how many there were
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from model_store.garbage import collect
from model_store.store import Store

# strace counts each name for itself; a machine has one or the other of each line
CALLS = {
    "write": "write",
    "fsync": "fsync",
    "mkdir": "?mkdir,?mkdirat",
    "rename": "?rename,?renameat,?renameat2",
    "link": "?link,?linkat",
    "unlink": "?unlink",
    "unlinkat": "unlinkat",
    "rmdir": "?rmdir",
    "chmod": "?chmod,?fchmodat",
}
PATIENCE_S = 30.0


def change(what: str, folder: Path, bundle: Path) -> None:
    store = Store([folder], builtin=False, clock=lambda: 4e9)  # whatever is there is old
    if what == "put":
        store.put(bundle, who="somebody")
    elif what == "promote":
        store.promote("tiny", 2, why="for the test")
    else:
        collect(store, "tiny", days=0.0, keep_moves=1)


def killed_at(calls: str, number: int, work: Callable[[], None]) -> bool:
    """Whether a child that does the work is killed at its system call of that name and number."""
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            work()
        except BaseException:  # noqa: BLE001 (a child must never go on as its parent)
            os._exit(1)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    inject = f"inject={calls}:signal=KILL:when={number}"
    quiet = ["-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject]
    with subprocess.Popen(["strace", *quiet, "-p", str(pid)]) as tracer:
        wait_for_tracer(pid)
        os.kill(pid, signal.SIGCONT)
        status = os.waitpid(pid, 0)[1]
        tracer.wait()
    if not os.WIFSIGNALED(status) and status:
        sys.exit(f"the change failed: {status}")
    return os.WIFSIGNALED(status)


def wait_for_tracer(pid: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        if time.monotonic() > end:
            sys.exit("strace did not attach")
        time.sleep(0.001)


def main(what: str, template: Path, base: Path, bundle: Path) -> None:
    killed = 0
    for call, names in CALLS.items():
        for number in itertools.count(1):
            folder = base / f"{call}-{number}"
            shutil.copytree(template, folder)
            if not killed_at(names, number, lambda: change(what, folder, bundle)):  # noqa: B023
                shutil.rmtree(base / "whole", ignore_errors=True)
                folder.rename(base / "whole")
                break
            killed += 1
    sys.stdout.write(str(killed))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
