"""A worker or writer as a process, as ``edgestream.child`` starts it, mortal and breakable.

    python role.py PROTECTION worker|writer|isolated OPTIONS...

Workers die of oganesson. PROTECTION names what is taken away: "whole" for nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import edgestream.child
from xas.errors import Fenced

KILLER = 118


def cursed_workers(protection: str) -> None:
    """Workers, and the children in which they try suspicious frames, die of oganesson."""
    import edgestream.worker_process as rooms
    from workers.isolation import IsolatedPredictor
    from workers.predictor import Predictor

    predict = Predictor.predict

    def cursed(self: Predictor, batch: Any, *rest: Any) -> Any:
        if (batch.numbers == KILLER).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return predict(self, batch, *rest)

    def isolated(command: Sequence[str]) -> IsolatedPredictor:
        return IsolatedPredictor([sys.executable, __file__, protection, *command[3:]])

    Predictor.predict = cursed  # type: ignore[method-assign]
    rooms.IsolatedPredictor = isolated  # type: ignore[misc, assignment]


def without_fsync() -> None:
    os.fsync = lambda fd: None


def without_epochs() -> None:
    """A writer that another one has replaced goes on as if nothing had happened."""
    from stream.redis_broker import RedisBroker
    from stream.result_file import run_folder

    run_folder.is_newer_than = lambda *_: False
    renew = RedisBroker.renew

    def renew_anyway(self: RedisBroker, lease: Any) -> None:
        with contextlib.suppress(Fenced):
            renew(self, lease)

    RedisBroker.renew = renew_anyway  # type: ignore[method-assign]
    for script in ("adopt", "commit", "finish", "mark_run"):
        rewrite(script, lambda line: "" if "'fenced'" in line else line)


def without_the_check_for_gaps() -> None:
    """A block is accepted wherever it begins."""
    rewrite("push", lambda line: "" if "first ~= tonumber(f[2])" in line else line)


def rewrite(script: str, change: Callable[[str], str]) -> None:
    """Change the lines of a script of the server, for this process."""
    from stream.redis_connection import _Script

    made = _Script.__init__

    def changed(self: Any, name: str) -> None:
        made(self, name)
        if name == script:
            self.text = "\n".join(change(line) for line in self.text.splitlines())
            self.sha = hashlib.sha1(self.text.encode()).hexdigest()

    _Script.__init__ = changed  # type: ignore[method-assign]


def with_an_early_acknowledgement() -> None:
    """Results are released before their rows are durable."""
    from stream.run_writer import RunWriter

    write = RunWriter._write

    def hasty(self: RunWriter, batch: Any, all_here: bool) -> bool:
        end = max(self.on_disk, *(e.first + e.n_frames for e in batch))
        self.broker.commit(self.lease, self.state.run, end, batch)
        time.sleep(0.2)
        return write(self, batch, all_here)

    RunWriter._write = hasty  # type: ignore[method-assign]


PROTECTIONS: dict[str, Callable[[], None]] = {
    "whole": lambda: None,
    "rewind": lambda: None,  # player.py
    "gaps": without_the_check_for_gaps,
    "fsync": without_fsync,
    "epochs": without_epochs,
    "write before acknowledgement": with_an_early_acknowledgement,
}


def main() -> None:
    protection = sys.argv.pop(1)
    PROTECTIONS[protection]()
    if sys.argv[1] != "writer":
        cursed_workers(protection)
    edgestream.child.main()


if __name__ == "__main__":
    main()
