"""The jobs of the trainer: what waits, what is being done and how far it is."""

from __future__ import annotations

import time
from typing import Any

from edgestream.dashboard.places import Places
from stream.redis_broker import RedisBroker
from xas.errors import Retry

MOST_JOBS = 50


class JobList:
    """Those of the jobs' server; nothing where there is no such server, or it has none."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def now(self) -> dict[str, Any]:
        """The newest MOST_JOBS; ``trouble`` says why the server does not answer."""
        url = self._places.jobs_url
        if not url:
            return {"trouble": "", "jobs": []}
        try:
            return {"trouble": "", "jobs": self._jobs(url)}
        except Retry as error:
            return {"trouble": f"jobs: {error}", "jobs": []}

    def _jobs(self, url: str) -> list[dict[str, Any]]:
        from stream.jobs import Jobs  # with RQ, which only this needs

        asked = RedisBroker(url, self._places.settings)
        try:
            asked.check_version()  # an error of ours where nobody answers
        finally:
            asked.close()
        jobs = Jobs(url)
        try:
            found = jobs.all()[:MOST_JOBS]
        finally:
            jobs.close()
        return [
            {
                "id": job.id,
                "task": job.task,
                "state": job.state,
                "progress": _in_words(job.progress),
                "error": job.error,
                "seconds": _seconds(job.t_begun, job.t_ended),
            }
            for job in found
        ]


def _in_words(progress: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in dict(progress).items())


def _seconds(begun: float | None, ended: float | None) -> float | None:
    """How long it took, or takes by now."""
    return None if begun is None else max(0.0, (ended or time.time()) - begun)
