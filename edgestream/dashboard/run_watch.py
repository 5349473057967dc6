"""One run, for all who look at it: its tail as it arrives, its file when that has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edgestream.dashboard.letters import letter
from edgestream.dashboard.picture import Picture
from edgestream.dashboard.places import Places
from edgestream.dashboard.watch import Watch
from stream.broker import RunState
from stream.following import Follower
from stream.result_file.reader import RunFile
from stream.service import is_due
from xas.errors import BadMessage, BadResultFile, Retry

LOOK_S = 1.0  # the writer replaces the file at most so often
FLOOD = 2_000  # frames in one read of the tail: more than anybody can see
BREATH_S = 0.1  # between looks at a flood: most of it is left to the file


class RunWatch(Watch):
    """Posts run, newest, average and history; one connection to the broker, however many look."""

    def __init__(self, run: str, places: Places, may_end: Callable[[Watch], bool]) -> None:
        super().__init__(run, may_end)
        self.run = run
        self._places = places
        self._broker = places.broker()
        self._follower: Follower | None = None
        self._picture = Picture()
        self._run_id = ""
        self._seen: tuple[int, ...] = ()
        self._looked_at = -LOOK_S
        self._history_is_old = False

    def step(self) -> None:
        """Wait for frames of the run, for a quarter of a second; see to its file once a second."""
        if is_due(self._looked_at + LOOK_S, time.monotonic(), LOOK_S):
            self._look()
            self._looked_at = time.monotonic()
        self._follow()

    def end(self) -> None:
        """Let go of the connection."""
        self._broker.close()

    # -- the tail --------------------------------------------------------------------------------

    def _follow(self) -> None:
        if self._follower is None:
            self.stop.wait(LOOK_S / 4)
            return
        try:
            blocks = self._follower.read()
        except BadMessage:
            return  # a model that is about to be published
        except Retry:
            self._follower = None
            return
        for block in blocks:
            self._picture.take(block)
        if blocks:
            self._history_is_old = True
            self._post("newest", self._picture.newest)
        if sum(block.n_frames for block in blocks) > FLOOD:
            self.stop.wait(BREATH_S)
            self._follower = Follower(self._broker, self.run)  # from its present end

    # -- the run and its file --------------------------------------------------------------------

    def _look(self) -> None:
        state, trouble = self._state()
        if state is not None and state.run_id != self._run_id:
            if self._run_id:  # the name was given to another run
                self._picture, self._seen = Picture(), ()
            self._run_id = state.run_id
        if state is None or state.finished:
            self._follower = None
        elif self._follower is None:
            self._follower = Follower(self._broker, self.run)
        self._read(self._places.file_of(self.run, state))
        self._post("run", self._facts(state, trouble))
        if self._history_is_old:
            self._post("history", self._picture.history())
            self._history_is_old = False

    def _state(self) -> tuple[RunState | None, str]:
        try:
            return self._broker.run(self.run), ""
        except Retry as error:
            self._follower = None
            return None, str(error)

    def _read(self, path: Path | None) -> None:
        if path is None:
            return
        try:
            now = _mark(path)
            if now == self._seen:
                return
            with RunFile(path) as file:
                self._picture.read(file)
        except (BadResultFile, OSError):
            return  # it is being replaced, or was removed: the next look tells
        self._seen = now
        self._history_is_old = True
        self._post("newest", self._picture.newest)
        self._post("average", self._picture.average())

    def _facts(self, state: RunState | None, trouble: str) -> dict[str, object]:
        facts: dict[str, object] = {"run": self.run, "trouble": trouble, **self._picture.facts}
        if state is None:
            return facts | {"known": bool(self._picture.facts), "live": False}
        if not self._picture.facts:
            self._post("average", self._picture.average())
        return facts | {
            "known": True,
            "live": not state.finished,
            "pushed": state.next_index,
            "on_disk": state.watermark,
            "dead": state.dead,
            "dropped": state.dropped,
            "sealed": state.sealed is not None,
            "refusal": state.refusal,
            "asks_for": state.spec.model,
        }

    def _post(self, kind: str, value: object) -> None:
        if value is not None:
            self.board.post(kind, letter(value))


def _mark(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size
