"""The asking as a process: follows all runs of a model, and asks while they stream."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgestream.attendance import connected, stop_signal
from edgestream.models import open_store
from edgestream.run_sites import RunSites
from stream.broker import RunState
from stream.redis_broker import RedisBroker
from stream.service import Patience, run_until_stopped, say
from stream.settings import Settings
from trainer.asking import Asker
from trainer.label_request import LabelRequest
from trainer.requests import HOUR_S, RequestRules
from xas.errors import BadLabels, BadResultFile, Reject, UnknownModel

LOOK_S = 2.0


class RunFollower:
    """The growing result files of all runs, read in turn, a block of each at a time.

    Runs that had ended when it began are not read. What cannot be read is said once, and left.
    """

    def __init__(
        self, broker: RedisBroker, model: str, rules: RequestRules, tell: Callable[[str], None]
    ) -> None:
        self._broker, self._model, self._rules, self._tell = broker, model, rules, tell
        self._reading: dict[str, RunSites] = {}
        self._done = {state.run for state in broker.runs() if state.finished}

    def look(self, asker: Asker) -> bool:
        """Let the asker see the next block of each run; whether there was any."""
        states = self._broker.runs()
        for gone in (self._done | self._reading.keys()) - {state.run for state in states}:
            self._leave(gone)
            self._done.discard(gone)
        read = [self._read(state, asker) for state in states if state.run not in self._done]
        return any(read)

    def _read(self, state: RunState, asker: Asker) -> bool:
        try:
            sites = self._reading.get(state.run) or self._open(state)
            if sites is None:
                return False
            if sites.at_end:
                if state.finished:
                    self._leave(state.run)
                return False
            if (found := sites.read()) is not None:
                asker.look(found.structures, found.sites, found.names, found.mass)
        except Reject as error:
            self._tell(f"run {state.run!r} is not asked about: {error}")
            self._leave(state.run)
            return False
        return True

    def _open(self, state: RunState) -> RunSites | None:
        """Its file, once there is one."""
        if not state.file:
            return None
        if not Path(state.file).exists():
            if state.host != socket.gethostname():
                raise BadResultFile(f"its file lies on {state.host}: {state.file}")
            return None
        self._reading[state.run] = RunSites(Path(state.file), self._model, self._rules)
        return self._reading[state.run]

    def _leave(self, run: str) -> None:
        self._done.add(run)
        if run in self._reading:
            self._reading.pop(run).close()

    def close(self) -> None:
        """Close all files."""
        for sites in self._reading.values():
            sites.close()


class Pace:
    """Spreads the requests of an hour over it: what is asked for at once is the best until then."""

    def __init__(self, per_hour: int, now: float) -> None:
        self._per_s, self._last = per_hour / HOUR_S, now

    def made(self, asker: Asker, now: float) -> list[LabelRequest]:
        """The requests that are made now; time in which there was nothing to ask for is gone."""
        due = int(max(0.0, now - self._last) * self._per_s)
        if not due and now >= self._last:
            return []
        self._last = now
        return asker.ask(due)


def run_asker(
    url: str,
    archive: Path,
    name: str,
    rules: RequestRules,
    *,
    theory: str | None,
    models: str | None,
    settings: Settings,
) -> None:
    """The service until stopped; waits for a champion and for first labels where there are none."""
    stop = stop_signal(follow_parent=False)
    broker = connected(url, settings, stop)
    asker = _asker(lambda: Asker(open_store(models), name, archive, rules, theory=theory), stop)
    if asker is None:
        return
    follower, pace = RunFollower(broker, name, rules, say), Pace(rules.per_hour, time.time())
    say(f"asking by {asker.champion}: at most {rules.per_hour} requests an hour into {archive}")
    next_look = 0.0

    def step() -> None:
        nonlocal next_look
        more = follower.look(asker)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_S
            asker.refresh()
        for request in pace.made(asker, time.time()):
            say(f"asked for {request.id}: {request.name}, novelty {request.novelty:.2f}")
        if not more:
            stop.wait(LOOK_S)

    try:
        run_until_stopped(step, stop, name="asker")
    finally:
        follower.close()
        broker.close()


def _asker(begin: Callable[[], Asker], stop: threading.Event) -> Asker | None:
    patience = Patience("asker", stop.wait)
    while not stop.is_set():
        try:
            return begin()
        except (UnknownModel, BadLabels) as error:
            patience.wait(error)
    return None
