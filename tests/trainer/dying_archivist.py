"""A program for the kill tests: whoever archives labels dies, and the next goes on.

dying_archivist.py steps FOLDER         dies before the 1st, 2nd, 3rd, ... system call of a life
                                        in an archive of its own, FOLDER/k; told is FOLDER/k.told
dying_archivist.py serve FOLDER URL     archives labels of a server until it is killed
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iron_labels import iron_labels

from stream.codec import encode
from stream.memory_label_stream import MemoryLabelStream
from stream.redis_label_stream import RedisLabelStream
from stream.settings import Settings
from trainer import archive_writer
from trainer.archivist import Archivist

CALLS = ("open", "write", "pwrite", "ftruncate", "fsync", "rename", "link", "unlink", "mkdir")
LABELS = iron_labels(4)
SETTINGS = Settings(lease_s=1.0)


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


def life(folder: Path, told: int) -> None:
    """Labels come one by one, are archived, merged, and a snapshot is taken; some are none."""
    stream = MemoryLabelStream()
    archivist = Archivist(stream, folder)
    for i, label in enumerate(LABELS):
        stream.push([encode(label)])
        if i == 1:
            stream.push([b"no label"])
        archivist.step(block_s=0)
        os.write(told, f"{label.sha256}\n".encode())
        if i == 2:
            os.write(told, f"snapshot {archivist.archive.snapshot().id}\n".encode())
    archivist.close()


def steps(base: Path) -> None:
    archive_writer.MERGED, archive_writer.LEVELS = 2, (2, 4)
    os.fsync = lambda fd: None  # a killed process loses nothing that it wrote; this is faster
    for number in range(1, 10_000):
        told = os.open(base / f"{number}.told", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        if not (pid := os.fork()):
            try:
                die_before(number)
                life(base / str(number), told)
            except BaseException:  # noqa: BLE001 (a child must never go on as its parent)
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(told)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


def serve(folder: Path, url: str) -> None:
    archivist = Archivist(RedisLabelStream(url, SETTINGS), folder)
    sys.stdout.write("archiving\n")
    sys.stdout.flush()
    while True:
        archivist.step(block_s=0.5)


if __name__ == "__main__":
    role, folder, *more = sys.argv[1:]
    {"steps": steps, "serve": serve}[role](Path(folder), *more)
