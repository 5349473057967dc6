"""Labels on their way to the archive, and those that somebody has asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgestream.dashboard.places import Places
from edgestream.status import label_trouble
from stream.label_stream import LabelState
from stream.redis_label_stream import RedisLabelStream
from trainer.request_watch import Asked, RequestWatch
from xas.errors import EdgestreamError

MOST_REQUESTS = 50


class LabelList:
    """Counts of the server, and the requests in the folder of labels, where that is here.

    trouble: at the last look, in words
    """

    def __init__(self, places: Places) -> None:
        self.trouble: list[str] = []
        self._stream = RedisLabelStream(places.url, places.settings)
        self._requests = None if places.labels is None else RequestWatch(places.labels)

    def now(self, jobs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """What there is; ``jobs``: rows of the job list, which know what is being calculated."""
        try:
            state = self._stream.state()
        except EdgestreamError:
            state = LabelState()  # that the server is away is said elsewhere
        self.trouble = label_trouble(state)
        return {"stream": _counts(state), "requests": self._asked(jobs)}

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()

    def _asked(self, jobs: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
        if self._requests is None:
            return None
        try:
            found = self._requests.look()
        except OSError as error:
            return {"trouble": f"label requests: {error}", "open": 0, "answered": 0, "newest": []}
        at_work = {str(job["id"]): job for job in jobs if job["task"] == "label"}
        rows = [_row(r, r.id in found.open, at_work) for r in found.newest(MOST_REQUESTS)]
        counts = {"open": len(found.open), "answered": len(found.answered)}
        return {"trouble": "", **counts, "newest": rows}


def _counts(state: LabelState) -> dict[str, Any]:
    return {
        "waiting": state.waiting,
        "outcomes": state.outcomes,
        "archive_alive": state.archive_alive,
    }


def _row(asked: Asked, is_open: bool, jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {**asked._asdict(), "state": _state(asked, jobs) if is_open else "answered"}


def _state(asked: Asked, jobs: Mapping[str, Mapping[str, Any]]) -> str:
    """Of an open one, in words, by the job that the labeller has made of it."""
    job = jobs.get(f"label-{asked.id}")
    if job is None or job["state"] in ("waiting", "done"):
        return "open"
    return "being calculated" if job["state"] == "running" else str(job["state"])
