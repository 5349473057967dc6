"""A job that came from a server that others can write to, and what a task sees of it.

RQ as it comes runs whatever a job names, unpickles what it carries and calls the callbacks and web
addresses that it lists. So: a job names a task by a word that its worker knows, carries JSON, and
nothing else of it is done.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from rq.exceptions import NoSuchJobError
from rq.job import Job

from xas.errors import Reject

REFUSED = "edgestream:jobs:refused"
CANCELLED = "edgestream:jobs:cancelled:"
MAX_BYTES = 2**20  # of a job's arguments
_LOG = logging.getLogger("edgestream.jobs")


class JobCancelled(Reject):
    """Somebody cancelled the job that is being done."""


class Running:
    """A job that is being done, for the task that does it; call ``report`` every few seconds."""

    def __init__(self, job: AllowedJob) -> None:
        self._job = job
        self.id = str(job.id)

    def report(self, **progress: Any) -> None:
        """Say that it lives, and how far it is, as JSON. JobCancelled where somebody wants so."""
        if self._job.connection.exists(CANCELLED + self.id):
            raise JobCancelled(f"job {self.id} was cancelled")
        self._job.meta.update(progress)
        self._job.save_meta()  # type: ignore[no-untyped-call]
        type(self._job).keep_alive(self._job)


Task = Callable[..., Any]
"""Called with a ``Running`` and the job's arguments; returns what JSON can hold."""


class JobRefused(Reject):
    """A job that names what it must not."""


class AllowedJob(Job):
    """A job that does nothing but a task of ``tasks``, by its word; none by default."""

    tasks: ClassVar[Mapping[str, Task]] = {}
    keep_alive: ClassVar[Callable[[Job], None]]
    _forbidden: str = ""

    def restore(self, raw_data: Any) -> Any:
        """Read a job from the server; what can be none of ours does not exist for a worker."""
        try:
            _require_small(raw_data.get(b"data", b""))
            super().restore(raw_data)
        except NoSuchJobError:
            raise
        except Exception as error:  # noqa: BLE001 - a forged job must not end the worker
            self._count(type(error).__name__)
            raise NoSuchJobError(f"job {self.id} is none of ours") from None
        self._forbidden = self._take_away()

    def _take_away(self) -> str:
        """Forget what RQ would call besides the job, even of one that is refused; what it was."""
        found = [
            name
            for name in ("success", "failure", "stopped")
            if getattr(self, f"_{name}_callback_name")
        ]
        for name in found:
            setattr(self, f"_{name}_callback_name", None)
        calls = [f"a {name} callback" for name in found] + ["a web address"] * bool(self.webhooks)
        self.webhooks = []
        return ", ".join(calls)

    @property
    def func(self) -> Any:
        """The task, if it is allowed; JobRefused."""
        self._require_allowed()
        return partial(self.tasks[str(self.func_name)], Running(self))

    def perform(self) -> Any:
        """Run the job; JobRefused, counted, for one that names what it must not."""
        try:
            self._require_allowed()
        except JobRefused as error:
            self._count(str(error))
            self.retries_left = 0
            raise
        try:
            return super().perform()
        except Reject:
            self.retries_left = 0  # it would be refused again
            raise

    def _require_allowed(self) -> None:
        if self.func_name not in self.tasks:
            raise JobRefused(f"job {self.id} names {self.func_name!r}, which is not allowed")
        if self.instance is not None:
            raise JobRefused(f"job {self.id} brings an object to call")
        if self._forbidden:
            raise JobRefused(f"job {self.id} asks for {self._forbidden}")

    def _count(self, why: str) -> None:
        self.connection.incr(REFUSED)
        _LOG.warning("job %s refused: %s", self.id, why)


def _require_small(data: bytes) -> None:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        text = data
    if len(text) > MAX_BYTES:
        raise ValueError
