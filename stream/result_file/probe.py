"""Trying a file of strangers in a process of its own: HDF5 ends, or hangs, on some damaged ones.

``python -m stream.result_file.probe PATH`` reads what `open_run` reads at once, and the ends of
every column.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

from xas.errors import BadResultFile

CPU_S = 20
MEMORY_BYTES = 4 << 30
"""Of address space, of which what is loaded takes most."""


def require_harmless(path: Path) -> None:
    """BadResultFile where reading the file ends a process.

    Says nothing of a file that can be read, or refused in order.
    """
    done = subprocess.run(
        [sys.executable, "-m", "stream.result_file.probe", str(path.resolve())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise BadResultFile(f"{path} is damaged: reading it ended a process by {name}")


def read_ends(path: Path) -> None:
    """Read everything that is read at once, and the first and last row of every column."""
    from stream.result_file.reader import RunFile

    with RunFile(path) as run:
        _ = (run.average, run.dead_letters)
        for column in (run.intensity, run.errors, run.normalised()):
            _ = (column[:1], column[-1:])
        _ = (run.status, run.times, run.sites.intensity[:1], run.sites.errors[-1:])
        if run.header.keep_structures and len(run):
            _ = (run.structures(slice(0, 1)), run.structures(slice(len(run) - 1, None)))


def main() -> None:
    """See the module; ends with 1 for a file that is refused, or dies."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        read_ends(Path(sys.argv[1]))
    except Exception:  # noqa: BLE001 - whoever asked will meet it again, and say it
        sys.exit(1)


if __name__ == "__main__":
    main()
