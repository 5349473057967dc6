"""Jobs by RQ: coarse work, minutes long, on a server of its own, named by words that we know.

RQ as it comes runs whatever a job names, unpickles what it carries, calls the callbacks and web
addresses that it lists, and its SpawnWorker shows the server's password in a command line and
forgets the class of jobs. So: JSON alone, an allow-list, no callbacks, and SimpleWorker, which runs
a job in the worker's own process. Whoever can write to the jobs' server can run the jobs of the
allow-list with any JSON arguments, and nothing else.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Collection
from typing import Any, ClassVar

from redis import Redis
from rq import Queue, SimpleWorker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from xas.errors import Reject

REFUSED = "edgestream:jobs:refused"
MAX_BYTES = 2**20  # of a job's arguments
_LOG = logging.getLogger("edgestream.jobs")


class JobRefused(Reject):
    """A job that names what it must not."""


class AllowedJob(Job):
    """A job that calls nothing but a callable of ``allowed``: dotted names, none by default."""

    allowed: ClassVar[frozenset[str]] = frozenset()
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
        """The callable, if it is allowed; JobRefused."""
        self._require_allowed()
        return super().func

    def perform(self) -> Any:
        """Run the job; JobRefused, counted, for one that names what it must not."""
        try:
            self._require_allowed()
        except JobRefused as error:
            self._count(str(error))
            raise
        return super().perform()

    def _require_allowed(self) -> None:
        if self.func_name not in self.allowed:
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


class Jobs:
    """One queue of jobs at ``url``; ``allowed``: the dotted names that jobs may call."""

    def __init__(self, url: str, allowed: Collection[str], *, name: str = "jobs") -> None:
        self._connection = Redis.from_url(url, protocol=2)
        self._allowed = frozenset(allowed)
        self._job_class = type("AllowedJob", (AllowedJob,), {"allowed": self._allowed})
        self._queue = Queue(
            name,
            connection=self._connection,
            job_class=self._job_class,
            serializer=JSONSerializer,
        )

    def enqueue(self, callable_name: str, **arguments: Any) -> str:
        """Ask for a job, arguments as JSON; its id. JobRefused where it is not allowed."""
        if callable_name not in self._allowed:
            raise JobRefused(f"{callable_name!r} is no job of this queue")
        return str(self._queue.enqueue(callable_name, kwargs=arguments).id)

    def work(self, *, burst: bool = False) -> None:
        """Run jobs one after the other in this process, which must be a worker's own."""
        worker = SimpleWorker(
            [self._queue],
            connection=self._connection,
            job_class=self._job_class,
            serializer=JSONSerializer,
        )
        worker.work(burst=burst, logging_level="WARNING")

    @property
    def refused(self) -> int:
        """How many jobs were refused on this server."""
        return int(self._connection.get(REFUSED) or 0)

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()
