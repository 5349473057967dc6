"""A worker or writer as a process, as ``edgestream.child`` starts it, mortal and breakable.

    python role.py PROTECTION worker|writer|isolated OPTIONS...

Workers die of oganesson. PROTECTION names what is taken away: "whole" for nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from script import ELEMENTS

import edgestream.child
from xas.errors import Fenced

HASTE_S = 10.0  # between an early acknowledgement and its rows: time enough to be killed


def wait_for_the_call() -> None:
    """Until a byte comes on standard input; the end of it is the end of the campaign."""
    if not os.read(0, 1):
        raise SystemExit


def cursed_workers(protection: str) -> None:
    """Workers, and the children in which they try suspicious frames, fail as a library would."""
    import edgestream.worker_process as rooms
    from workers.isolation import IsolatedPredictor
    from workers.predictor import Predictor

    predict = Predictor.predict

    def cursed(self: Predictor, batch: Any, *rest: Any) -> Any:
        if (batch.numbers == ELEMENTS["killer"]).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (batch.numbers == ELEMENTS["thrower"]).any():
            raise FloatingPointError("tennessine")
        return predict(self, batch, *rest)

    def isolated(command: Sequence[str]) -> IsolatedPredictor:
        return IsolatedPredictor([sys.executable, __file__, protection, *command[3:]])

    Predictor.predict = cursed  # type: ignore[method-assign]
    rooms.IsolatedPredictor = isolated  # type: ignore[misc, assignment]


def without_fsync() -> None:
    os.fsync = lambda fd: None


def without_fsync_of_folders() -> None:
    sync = os.fsync
    os.fsync = lambda fd: None if stat.S_ISDIR(os.fstat(fd).st_mode) else sync(fd)


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
        time.sleep(HASTE_S)
        return write(self, batch, all_here)

    RunWriter._write = hasty  # type: ignore[method-assign]


def with_late_letters() -> None:
    """Dead letters are released before they are on disk."""
    from stream.run_writer import RunWriter

    keep = RunWriter._keep_letters

    def late(self: RunWriter, batch: Any) -> None:
        self.broker.commit(self.lease, self.state.run, self.on_disk, batch)
        time.sleep(HASTE_S)
        keep(self, batch)

    RunWriter._keep_letters = late  # type: ignore[method-assign]


def without_claims() -> None:
    """What a dead worker had in hand is nobody's."""
    from stream.redis_broker import RedisBroker

    RedisBroker.claim = lambda *_: []  # type: ignore[method-assign]


def without_isolation() -> None:
    """An entry that somebody died of is predicted like any other."""
    import workers.worker as room
    from workers.batcher import Batch
    from workers.blame import predict_batch

    def together(job: Any, isolated: Any, serving: Any, beat: Any) -> Any:
        batch = Batch(model=job.block.model, absorber=job.block.absorber, jobs=[job])
        return predict_batch(batch, serving, beat)

    room.predict_alone = together


def without_bisection() -> None:
    """A batch that fails is to blame as a whole."""
    import workers.worker as room
    from workers.outcome import Failure, Outcome

    def at_once(batch: Any, serving: Any, beat: Any) -> Any:
        try:
            return serving.predict(batch)
        except FloatingPointError as error:
            return Outcome.failed(batch.n_frames, Failure(str(error), type(error).__name__))

    room.predict_batch = at_once


PROTECTIONS: dict[str, Callable[[], None]] = {
    "whole": lambda: None,
    "rewind": lambda: None,  # player.py
    "gaps": without_the_check_for_gaps,
    "fsync": without_fsync,
    "fsync of folders": without_fsync_of_folders,
    "epochs": without_epochs,
    "write before acknowledgement": with_an_early_acknowledgement,
    "letters before acknowledgement": with_late_letters,
    "claims": without_claims,
    "isolation": without_isolation,
    "bisection": without_bisection,
}


def main() -> None:
    protection = sys.argv.pop(1)
    role = sys.argv[1]
    if role == "writer":
        from edgestream import writer_process  # noqa: F401 - before the call comes
    else:
        cursed_workers(protection)
        import onnxruntime  # noqa: F401 - likewise
    if role != "isolated":
        wait_for_the_call()
    PROTECTIONS[protection]()
    edgestream.child.main()


if __name__ == "__main__":
    main()
