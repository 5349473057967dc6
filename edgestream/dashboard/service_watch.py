"""The service, for all who look at it: once a second, from the broker's own records."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgestream.dashboard.job_list import JobList
from edgestream.dashboard.label_list import LabelList
from edgestream.dashboard.letters import letter
from edgestream.dashboard.model_list import ModelList
from edgestream.dashboard.places import Places
from edgestream.dashboard.watch import Watch
from edgestream.status import trouble
from stream.broker import RunState
from stream.following import Follower
from stream.shadows import ShadowDifference
from xas.errors import BadMessage, EdgestreamError, Retry

LOOK_S = 1.0
MODELS_S = 2.0  # models, jobs and labels
MOST_RUNS = 200


class ServiceWatch(Watch):
    """Posts service, runs, models, jobs and labels. Rates are over the last second; latency from
    push to prediction is that of frames that just came, of one run at a time.
    """

    def __init__(self, places: Places, may_end: Callable[[Watch], bool]) -> None:
        super().__init__("service", may_end)
        self._places = places
        self._broker = places.broker()
        self._version = ""
        self._models, self._jobs = ModelList(places), JobList(places)
        self._labels = LabelList(places)
        self._models_at = -MODELS_S
        self._before: dict[str, tuple[float, RunState]] = {}
        self._latency: dict[str, float] = {}

    def step(self) -> None:
        """Look once and wait for a second."""
        began = time.monotonic()
        self._look()
        if began - self._models_at > MODELS_S:
            self._models_at = began
            self.board.post("models", letter(self._models.now()))
            jobs = self._jobs.now()
            self.board.post("jobs", letter(jobs))
            self.board.post("labels", letter(self._labels.now(jobs["jobs"])))
        self.stop.wait(max(0.05, LOOK_S - (time.monotonic() - began)))

    def end(self) -> None:
        """Let go of the connections."""
        self._broker.close()
        self._labels.close()

    def _look(self) -> None:
        on_disk = self._places.runs_on_disk()
        try:
            facts, states = self._facts()
        except Retry as error:
            facts, states, self._version = self._nobody(error), [], ""
        known = {state.run for state in states}
        rows = [self._row(state) for state in states]
        rows += [{"run": run, "state": "in the folder"} for run in on_disk if run not in known]
        self.board.post("runs", letter(rows))
        self.board.post("service", letter(facts))

    def _nobody(self, error: EdgestreamError) -> dict[str, Any]:
        return {
            "server": self._places.shown_url,
            "version": "",
            "trouble": [f"{error}; what is shown are the files of {self._places.out}"],
            "workers": [],
            "shards": [],
            "shadows": [],
            "backlog": 0,
            "drained": False,
            "now": time.time(),
        }

    def _facts(self) -> tuple[dict[str, Any], list[RunState]]:
        broker = self._broker
        self._version = self._version or broker.check_version()
        runs, workers, shards = broker.runs(), broker.workers(), broker.shards()
        states = _latest(runs)
        self._sample_latency(states)
        facts = {
            "server": self._places.shown_url,
            "version": self._version,
            "trouble": [
                *trouble(runs, workers, shards, self._places.settings),
                *self._labels.trouble,
            ],
            "workers": workers,
            "shards": shards,
            "shadows": [ShadowDifference.of(count) for count in broker.shadows()],
            "backlog": sum(max(0, run.next_index - run.watermark) for run in runs),
            "drained": any(shard.drained_at is not None for shard in shards),
            "now": time.time(),
        }
        return facts, states

    def _row(self, state: RunState) -> dict[str, Any]:
        pushed, written = self._rates(state)
        return {
            "run": state.run,
            "state": word_of(state),
            "model": state.spec.model,
            "title": state.spec.title,
            "pushed": state.next_index,
            "on_disk": state.watermark,
            "backlog": max(0, state.next_index - state.watermark),
            "dead": state.dead,
            "dropped": state.dropped,
            "pushed_per_s": pushed,
            "written_per_s": written,
            "latency_s": None if state.finished else self._latency.get(state.run),
            "opened_at": state.opened_at,
            "file": state.file,
            "host": state.host,
        }

    def _rates(self, state: RunState) -> tuple[float, float]:
        now = time.monotonic()
        at, before = self._before.get(state.run, (now, state))
        self._before[state.run] = now, state
        if now <= at or before.run_id != state.run_id:
            return 0.0, 0.0
        pushed, written = (
            max(0, getattr(state, name) - getattr(before, name)) / (now - at)
            for name in ("next_index", "watermark")
        )
        return round(pushed, 1), round(written, 1)

    def _sample_latency(self, states: Sequence[RunState]) -> None:
        """Of the run that has waited longest to be asked; a block of it is waited for a moment."""
        busy = [s.run for s in states if s.next_index > s.watermark]
        if not busy:
            return
        run = min(busy, key=lambda name: (name in self._latency, name))
        try:
            blocks = Follower(self._broker, run).read()
        except BadMessage:
            return
        waits = np.concatenate([b.t_predicted - b.t_pushed for b in blocks] or [np.zeros(0)])
        if np.isfinite(waits).any():
            self._latency.pop(run, None)
            self._latency[run] = float(np.nanmedian(waits))


def _latest(runs: Sequence[RunState]) -> list[RunState]:
    """Open runs first, then those that were opened last; at most MOST_RUNS."""
    return sorted(runs, key=lambda run: (run.finished, -run.opened_at))[:MOST_RUNS]


def word_of(state: RunState) -> str:
    """What a run is at, in one word."""
    if state.refusal:
        return "refused"
    if state.finished:
        return "interrupted" if state.interrupted else "finished"
    if state.sealed is not None:
        return "sealed"
    return "open" if state.paused_at is None else "paused"
