"""The jobs of trainer and labeller: what waits, what is being done and how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgestream.dashboard.places import Places

if TYPE_CHECKING:
    from stream.jobs import JobState

MOST_JOBS = 50  # of each queue
PATIENCE_S = 5.0
IN_WORDS = {"epochs", "of_epochs", "left_s", "folder"}  # said otherwise, or of no interest here


class JobList:
    """Those of the jobs' server, which is the service's own unless another one was named."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def now(self) -> dict[str, Any]:
        """The newest MOST_JOBS of each kind; ``trouble`` says why the server does not answer."""
        named = self._places.jobs_url
        try:
            return {"trouble": "", "jobs": self._jobs(named or self._places.url)}
        except Exception as error:  # noqa: BLE001 - RQ's own: a server is away, a role may not look
            # that the service's own server is away is said elsewhere
            return {"trouble": f"jobs: {error}" if named else "", "jobs": []}

    def _jobs(self, url: str) -> list[dict[str, Any]]:
        from stream.jobs import CALCULATIONS, TRAININGS, Jobs  # RQ: only this needs it

        found: list[JobState] = []
        for queue in (TRAININGS, CALCULATIONS):
            jobs = Jobs(url, name=queue, timeout_s=PATIENCE_S)
            try:
                found += jobs.newest(MOST_JOBS)
            finally:
                jobs.close()
        return [_row(job) for job in sorted(found, key=lambda job: -(job.t_asked or 0.0))]


def _row(job: JobState) -> dict[str, Any]:
    return {
        "id": job.id,
        "task": job.task,
        "state": job.state,
        "asked_at": job.t_asked,
        "part": _part(job.progress) if job.state == "running" else None,
        "progress": ", ".join(_words(job.progress)) if job.state == "running" else "",
        "outcome": job.error or _outcome(job.result),
        "seconds": _seconds(job.t_begun, job.t_ended),
    }


def _part(progress: Mapping[str, Any]) -> float | None:
    """How much is done, from 0 to 1; what a task reports may be anything."""
    done, total = progress.get("epochs"), progress.get("of_epochs")
    if not isinstance(done, int) or not isinstance(total, int) or total < 1:
        return None
    return min(1.0, max(0.0, done / total))


def _words(progress: Mapping[str, Any]) -> Iterator[str]:
    if "epochs" in progress:
        yield f"epoch {progress['epochs']} of {progress.get('of_epochs')}"
    for name, value in progress.items():
        if name not in IN_WORDS and value is not None:
            yield f"{name} {_short(value)}"
    if isinstance(left := progress.get("left_s"), int | float):
        yield f"{left:.0f} s left"


def _outcome(result: Any) -> str:
    """What came of a training: the candidate, whether it is the champion now, and why."""
    if not isinstance(result, Mapping):
        return ""
    reasons = result.get("why")
    why = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    said = f"{result.get('candidate') or ''} {result.get('ending') or ''}".strip()
    return ": ".join(filter(None, (said, why)))


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _seconds(begun: float | None, ended: float | None) -> float | None:
    """How long it took, or takes by now."""
    return None if begun is None else max(0.0, (ended or time.time()) - begun)
