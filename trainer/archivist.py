"""Labels from their stream into the archive: each is acknowledged only once it is on disk."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream.codec import encode
from stream.label_stream import LabelStream, Outcome, WaitingLabel
from stream.labels import Label, read_label
from stream.messages import DeadLetter
from trainer.archive_writer import Archived, ArchiveWriter
from trainer.label_archive import LabelArchive
from xas.errors import EdgestreamError, Reject


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Word of a refused label, for a status: the bytes lie in the archive's ``refused.dead``."""

    reason: str
    n_bytes: int
    t_pushed: float


class Archivist:
    """Takes labels out of a stream, holding its lease and the archive's lock until ``close``.

    A label that is read again, because whoever had it died between disk and acknowledgement, is
    found to be there. Fenced where another process archives already: try again after the lease.
    """

    def __init__(self, stream: LabelStream, folder: Path) -> None:
        self._stream = stream
        self._writer = ArchiveWriter(folder)
        owner = f"{socket.gethostname()}:{folder.resolve()}:{os.getpid()}"
        try:
            self._lease = stream.acquire(owner)
        except BaseException:
            self._writer.close()
            raise

    @property
    def archive(self) -> LabelArchive:
        """What is on disk; up to date after each step."""
        return self._writer.archive

    def step(self, *, block_s: float = 1.0) -> list[Archived]:
        """Archive the labels that wait, at most a batch; what became of those that are labels.

        Waits up to ``block_s`` while there are none. Retry where the server is away: call again.
        StorageFailed where the disk is full: nothing was acknowledged, stop.
        """
        self._stream.renew(self._lease)
        waiting = self._stream.waiting(block_s=block_s)
        good, bad = _sort(waiting)
        told = self._writer.append([label for _, label in good], [w.t_pushed for w, _ in good])
        self._writer.refuse([encode(_letter(w, error)) for w, error in bad])
        done: list[tuple[str, Outcome]] = [(w.id, "refused") for w, _ in bad]
        done += [(w.id, t.outcome) for (w, _), t in zip(good, told, strict=True)]
        if done:
            self._stream.renew(self._lease)  # a server that forgot a moment ago
            self._stream.done(self._lease, done)
        if bad:
            self._stream.note(self._lease, [msgspec.json.encode(_notice(*b)) for b in bad])
        return told

    def close(self) -> None:
        """Let another archive; the server, where it can be reached, knows at once."""
        try:
            self._stream.yield_lease(self._lease)
        except EdgestreamError:
            pass  # the lease ends by itself
        finally:
            self._writer.close()


def _sort(
    waiting: Sequence[WaitingLabel],
) -> tuple[list[tuple[WaitingLabel, Label]], list[tuple[WaitingLabel, Reject]]]:
    """Labels, and what is none."""
    good, bad = [], []
    for w in waiting:
        try:
            good.append((w, read_label(w.payload)))
        except Reject as error:
            bad.append((w, error))
    return good, bad


def _letter(waiting: WaitingLabel, error: Reject) -> DeadLetter:
    return DeadLetter(
        run="",
        first=0,
        n_frames=1,
        reason=str(error),
        error=type(error).__name__,
        attempts=1,
        worker="archive",
        model="",
        t_failed=waiting.t_pushed,
        original=memoryview(waiting.payload),
    )


def _notice(waiting: WaitingLabel, error: Reject) -> Notice:
    return Notice(reason=str(error), n_bytes=len(waiting.payload), t_pushed=waiting.t_pushed)
