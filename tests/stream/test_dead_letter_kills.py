"""A writer that is killed at any step of an amendment leaves a whole file, and the next goes on."""

from __future__ import annotations

import copy
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import Clock
from graves import requeue, work
from stage import assert_rows, open_and_push, publish
from test_writer import SETTINGS, run_writer

from stream.memory_broker import MemoryBroker
from stream.result_file import RunFile

CALLS = ("open", "write", "pwrite", "ftruncate", "fsync", "rename", "unlink", "mkdir", "rmdir")


def die_before(number: int) -> None:
    """Kill this process before the system call of that number."""
    count = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def killed_at(number: int, broker: MemoryBroker, out: Path) -> bool:
    """Run a writer in a child that dies at a step; False where it lived to the end."""
    if pid := os.fork():
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    try:
        die_before(number)
        run_writer(broker, out)
    finally:
        os._exit(0)


@pytest.mark.processes
def test_an_amendment_is_whole_or_has_not_begun(tmp_path: Path, clock: Clock) -> None:
    broker = MemoryBroker(SETTINGS, clock)
    publish(broker)
    opened = open_and_push(broker, [3, 5])
    work(broker, [0, 4, 5])
    broker.seal(opened, 8)
    run_writer(broker, tmp_path / "out")
    requeue(broker, tmp_path / "out")
    work(broker, [5], at=2.0)
    number = 0
    while True:
        number += 1
        out = tmp_path / str(number)
        shutil.copytree(tmp_path / "out", out)
        died = killed_at(number, broker, out)
        with RunFile(out / "md.h5") as file:  # it opens, before anything is mended
            assert [*np.flatnonzero(file.status == 2)] in ([0, 4, 5], [5])
        run_writer(copy.deepcopy(broker), out)  # a server that heard nothing
        assert_rows(out / "md.h5", 8, dead=[5])
        left = {path.name for path in out.rglob("*")} - {"md.answers", "md.dead", "md.h5"}
        assert left <= {"md.segments"}  # empty, and swept when its grace is over
        if not died:
            break
    assert number > 15
