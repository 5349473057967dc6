"""Jobs by RQ: coarse work, minutes long, on a server of its own, named by words that we know.

JSON alone, an allow-list (``stream.allowed_job``), and SimpleWorker, which does a job in
the worker's own process: RQ's SpawnWorker shows the server's password in a command line and forgets
the class of jobs. Whoever can write to the jobs' server can have the tasks of the allow-list done
with any JSON arguments, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any, Literal, TypeVar, cast

from redis import Redis, exceptions
from rq import Queue, Retry, SimpleWorker
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import (
    BaseRegistry,
    CanceledJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    StartedJobRegistry,
)
from rq.serializers import JSONSerializer

from stream.allowed_job import CANCELLED, REFUSED, AllowedJob, Task
from stream.url_secrets import shown
from xas.errors import Reject, RightsMissing, ServerUnreachable

TRAININGS, CALCULATIONS = "jobs", "labelling"  # hours of the one hold up no minutes of the other
State = Literal["waiting", "running", "done", "failed", "cancelled"]
ALIVE_S = 60  # without a word from its task, a job counts as abandoned, and is done again
KEEP_S = 30 * 86_400
ATTEMPTS = 3
JOBS_AWAY = (
    ServerUnreachable,
    exceptions.RedisError,
)  # raised where the server is away, or lets nobody look
MOST_FAILED = 100  # of which it is looked whether they failed or were cancelled
_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.NoPermissionError)
_STATES: dict[JobStatus, State] = {
    JobStatus.QUEUED: "waiting",
    JobStatus.STARTED: "running",
    JobStatus.FINISHED: "done",
    JobStatus.CANCELED: "cancelled",
}
_REGISTRIES: dict[State, type[BaseRegistry]] = {
    "running": StartedJobRegistry,
    "done": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "cancelled": CanceledJobRegistry,
}


class UnknownJob(Reject):
    """There is no job of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as it stands; times are seconds since 1970, None where it has not come to that.

    progress: what its task reported last; error: the last line of why it failed, or fails so far.
    """

    id: str
    task: str
    state: State
    arguments: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    error: str = ""
    attempts_left: int = 0
    t_asked: float | None = None
    t_begun: float | None = None
    t_ended: float | None = None

    @property
    def attempt(self) -> int | None:
        """Which of ATTEMPTS it is at, or waits for, from 1; None where it has ended."""
        is_open = self.state in ("waiting", "running")
        return ATTEMPTS - self.attempts_left if is_open else None


class _Worker(SimpleWorker):
    """Tells of its job for ALIVE_S at a time, instead of for as long as the job may take."""

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002 - what RQ calls it with
        return ALIVE_S


def _jobs_of(allowed: Mapping[str, Task]) -> type[AllowedJob]:
    class OurJob(AllowedJob):
        tasks = allowed

    return OurJob


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _asking(method: _Method) -> _Method:
    """A method that raises ServerUnreachable where the server is away, or RightsMissing."""

    @wraps(method)
    def asked(jobs: Jobs, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(jobs, *args, **kwargs)
        except exceptions.NoPermissionError as error:
            raise RightsMissing(f"the server of the jobs at {jobs.url}: {error}") from error
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            raise ServerUnreachable(f"no answer from the server at {jobs.url}: {error}") from error

    return cast("_Method", asked)


class Jobs:
    """One queue of jobs at ``url``; ``tasks``: what this process can do, by the word for it.

    timeout_s: how long to wait for an answer of the server, for who only looks; None: for ever
    """

    def __init__(
        self,
        url: str,
        tasks: Mapping[str, Task] | None = None,
        *,
        name: str = TRAININGS,
        timeout_s: float | None = None,
    ):
        self.url = shown(url)
        self._connection = Redis.from_url(
            url, protocol=2, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        self._job_class = _jobs_of(tasks or {})
        self._queue = Queue(
            name,
            connection=self._connection,
            job_class=self._job_class,
            serializer=JSONSerializer,
        )

    # -- asking -----------------------------------------------------------------------------------

    @_asking
    def enqueue(self, task: str, job_id: str, *, timeout_s: int = 86_400, **arguments: Any) -> bool:
        """Ask for a task, arguments as JSON; False where that job waits or is being done already.

        The same job can be asked for again when it has ended. It is tried ATTEMPTS times: again
        where its worker died, or its task raised anything but Reject.
        """
        with contextlib.suppress(UnknownJob):
            if self.find(job_id).state in ("waiting", "running"):
                return False
            self._fetch(job_id).delete()
        self._connection.delete(CANCELLED + job_id)
        try:
            self._queue.enqueue_call(
                task,
                kwargs=arguments,
                job_id=job_id,
                unique=True,
                timeout=timeout_s,
                result_ttl=KEEP_S,
                failure_ttl=KEEP_S,
                retry=Retry(max=ATTEMPTS - 1),
            )
        except DuplicateJobError:  # somebody else was faster
            return False
        return True

    @_asking
    def cancel(self, job_id: str) -> State:
        """Cancel a job; the state it was in. One that is being done ends at its next report.

        UnknownJob; a job that has ended stays as it is.
        """
        state = self.find(job_id).state
        if state in ("waiting", "running"):  # one that waits may begin in this moment
            self._connection.set(CANCELLED + job_id, 1, ex=KEEP_S)
        if state == "waiting":
            self._fetch(job_id).cancel()
        return state

    # -- looking ----------------------------------------------------------------------------------

    @_asking
    def all(self, most: int | None = None) -> list[JobState]:
        """Every job of which the server still knows, the newest first.

        ``most``: of those that are done, failed or cancelled only so many each, the last to end.
        """
        ended = self._ids("done", "failed", "cancelled", most=most or 0)
        return self._found([*self._queue.get_job_ids(), *self._ids("running"), *ended])

    @_asking
    def newest(self, most: int) -> list[JobState]:
        """At most ``most`` jobs, the newest first, however many the server knows."""
        waiting = self._queue.get_job_ids(offset=-most)
        return self._found([*waiting, *self._ids(*_REGISTRIES, most=most)])[:most]

    @_asking
    def counts(self) -> dict[State, int]:
        """How many jobs there are of each state; beyond MOST_FAILED, cancelled ones are failed."""
        counts: dict[State, int] = {"waiting": self._queue.count}
        for state in _REGISTRIES:
            counts[state] = self._registry(state).get_job_count(cleanup=False)
        failed = self._found(self._ids("failed", most=MOST_FAILED))
        cancelled = sum(job.state == "cancelled" for job in failed)
        counts["failed"] -= cancelled
        counts["cancelled"] += cancelled
        return counts

    def _registry(self, state: State) -> BaseRegistry:
        return _REGISTRIES[state](queue=self._queue, job_class=self._job_class)

    def _ids(self, *states: State, most: int = 0) -> list[str]:
        """Of jobs that are begun, the last of each state first; ``most`` 0: all of them."""
        return [
            job_id
            for state in states
            for job_id in self._registry(state).get_job_ids(end=most - 1, desc=True, cleanup=False)
        ]

    def _found(self, ids: Iterable[str]) -> list[JobState]:
        states = []
        for job_id in dict.fromkeys(ids):
            with contextlib.suppress(UnknownJob):
                states.append(self.find(job_id))
        return _newest(states)

    @_asking
    def find(self, job_id: str) -> JobState:
        """One job, of which what cannot be read is left out. UnknownJob."""
        job = self._fetch(job_id)
        result = _result_of(job)
        state = _STATES.get(job.get_status(refresh=False), "failed")
        error = str((result and result.exc_string) or "").strip().rpartition("\n")[2]
        if error.startswith("stream.allowed_job.JobCancelled"):
            state = "cancelled"
        return JobState(
            id=str(job.id),
            task=job.func_name or "",
            state=state,
            arguments=_as_dict(job.kwargs),
            progress=_as_dict(job.meta),
            result=result.return_value if result and state == "done" else None,
            error="" if state == "done" else error,
            attempts_left=job.retries_left or 0,
            t_asked=_seconds(job.enqueued_at or job.created_at),
            t_begun=_seconds(job.started_at),
            t_ended=_seconds(job.ended_at),
        )

    def _fetch(self, job_id: str) -> AllowedJob:
        try:
            found = self._job_class.fetch(
                job_id, connection=self._connection, serializer=JSONSerializer
            )
        except NoSuchJobError:
            raise UnknownJob(f"there is no job {job_id!r}: edgestream jobs list") from None
        assert isinstance(found, AllowedJob)
        return found

    @property
    @_asking
    def refused(self) -> int:
        """How many jobs were refused on this server."""
        return int(self._connection.get(REFUSED) or 0)

    # -- doing ------------------------------------------------------------------------------------

    def work(self, *, burst: bool = False) -> None:
        """Do jobs one after the other in this process, which must be a worker's own."""
        worker = _Worker(
            [self._queue],
            connection=self._connection,
            job_class=self._job_class,
            serializer=JSONSerializer,
            maintenance_interval=ALIVE_S,
        )
        self._job_class.keep_alive = staticmethod(worker.maintain_heartbeats)
        self.recover()
        worker.work(burst=burst, logging_level="WARNING")

    @_asking
    def recover(self) -> None:
        """Put back the jobs whose workers are silent for ALIVE_S."""
        StartedJobRegistry(queue=self._queue, job_class=self._job_class).cleanup()

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()


def _result_of(job: AllowedJob) -> Any:
    try:
        return job.latest_result()
    except _AWAY:
        raise
    except Exception:  # noqa: BLE001 - who can write to the server must not end who looks
        return None


def _as_dict(found: Any) -> dict[str, Any]:
    """What a job carries may be any JSON."""
    return found if isinstance(found, dict) else {}


def every_job(url: str, most: int | None = None) -> list[JobState]:
    """The jobs of all queues at ``url``, as ``Jobs.all`` has those of one."""
    found = []
    for name in (TRAININGS, CALCULATIONS):
        jobs = Jobs(url, name=name)
        try:
            found += jobs.all(most)
        finally:
            jobs.close()
    return _newest(found)


def _newest(states: list[JobState]) -> list[JobState]:
    return sorted(states, key=lambda state: state.t_asked or 0.0, reverse=True)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
