"""The jobs of the trainer: what waits, what is being done and how far it is."""

from __future__ import annotations

import time
from typing import Any

from edgestream.dashboard.places import Places

MOST_JOBS = 50


class JobList:
    """Those of the jobs' server, which is the service's own unless another one was named."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def now(self) -> dict[str, Any]:
        """The newest MOST_JOBS; ``trouble`` says why the server does not answer."""
        named = self._places.jobs_url
        try:
            return {"trouble": "", "jobs": self._jobs(named or self._places.url)}
        except Exception as error:  # noqa: BLE001 - RQ's own: a server is away, a role may not look
            # that the service's own server is away is said elsewhere
            return {"trouble": f"jobs: {error}" if named else "", "jobs": []}

    def _jobs(self, url: str) -> list[dict[str, Any]]:
        from stream.jobs import Jobs  # with RQ, which only this needs

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
    return ", ".join(f"{name} {_short(value)}" for name, value in dict(progress).items())


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _seconds(begun: float | None, ended: float | None) -> float | None:
    """How long it took, or takes by now."""
    return None if begun is None else max(0.0, (ended or time.time()) - begun)
