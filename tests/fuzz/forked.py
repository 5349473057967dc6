"""The child that reads with chemfiles, as a copy of this process: to start it anew takes long.

All that it does is what it does in earnest, limits included; only Python is loaded already.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from pathlib import Path

from stream.sources import chemfiles_child


class Forked:
    """What the reader needs of a Popen."""

    def __init__(self, path: Path, cpu_s: float) -> None:
        (asked, to_child), (from_child, said) = os.pipe(), os.pipe()
        self._code: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            _read(path, cpu_s, asked, said)
        os.close(asked)
        os.close(said)
        self.stdin, self.stdout = os.fdopen(to_child, "wb"), os.fdopen(from_child, "rb")

    def kill(self) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code

    def communicate(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        self.wait()


def _read(path: Path, cpu_s: float, asked: int, said: int) -> None:
    """Does not return."""
    try:
        faulthandler.disable()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for place, fd in enumerate((asked, said, nowhere)):
            os.dup2(fd, place)
        os.closerange(3, max(asked, said, nowhere) + 8)  # the ends that the parent holds
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        sys.argv = ["chemfiles_child", str(path), str(cpu_s)]
        chemfiles_child.main()
        os._exit(0)
    finally:
        os._exit(1)
