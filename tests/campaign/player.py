"""A producer as a process: pushes its runs, keeps a journal, and makes lost frames again.

    python player.py PROTECTION SPOOL URL SCRIPT NUMBER BOARD JOURNAL SETTINGS...

The board is an array of int64 that the campaign maps too: how many frames this producer may have
pushed, and how many it has. The journal says what happened, line by line: ``opened RUN NEXT``,
``pushed RUN NEXT`` (the push returned), ``sealed RUN N``, ``finished RUN``, ``forgot RUN FROM TO``
(the server went back), ``trouble RUN ...``. SPOOL is a folder, or "" for none: then a producer
makes again what was lost, but for one without the protection "rewind", which goes on with its next
frame.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from role import PROTECTIONS, wait_for_the_call
from script import Run, Script

from edgestream.settings_words import settings_from_options
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.settings import Settings
from xas.errors import Fenced, Retry, RunRefused, StorageFailed

BLOCK = 40
PAUSE_S = 0.05


def spec_of(run: Run) -> RunSpec:
    return RunSpec(model="tiny", priority=run.priority)


class Journal:
    """Survives the producer's death, as its own notes would; ``sure`` of what was said once."""

    def __init__(self, path: Path) -> None:
        self.accepted: dict[str, int] = {}
        self.finished: set[str] = set()
        self.sealed: set[str] = set()
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            self._learn(line.split())
        self._file = path.open("a", buffering=1)

    def say(self, *words: object) -> None:
        self._learn([str(word) for word in words])
        self._file.write(" ".join(map(str, words)) + f" {time.monotonic():.3f}\n")

    def _learn(self, words: list[str]) -> None:
        verb, run = words[0], words[1]
        if verb in ("pushed", "opened"):
            self.accepted[run] = int(words[2])
        elif verb == "sealed":
            self.sealed.add(run)
        elif verb == "finished":
            self.finished.add(run)


class Player:
    def __init__(
        self, broker: RedisBroker, settings: Settings, journal: Journal, board: np.ndarray
    ) -> None:
        self.broker, self.settings, self.journal, self.board = broker, settings, journal, board
        self.spool: dict[str, Any] = {}
        self.careless = False
        self.before = 0

    def play(self, runs: list[Run]) -> None:
        for run in runs:
            if run.name not in self.journal.sealed:
                self.push(run)
            self.before += run.n_frames
            self.board[1] = max(self.board[1], self.before)
        for run in runs:
            self.see_finished(run)

    def push(self, run: Run) -> None:
        """Until it is sealed, whatever the server forgets on the way."""
        while True:
            try:
                self._push_once(run)
                return None
            except (Retry, Fenced, StorageFailed) as error:
                self.journal.say("trouble", run.name, type(error).__name__, error)
                time.sleep(PAUSE_S)
            except RunRefused as refusal:
                return self._require_complete(run, str(refusal))

    def _require_complete(self, run: Run, refusal: str) -> None:
        """The file has it all, or the server is sealed, which it may still forget."""
        if ".h5 is complete with" in refusal:
            self.journal.say("finished", run.name)
        elif "is complete with" in refusal:
            self.journal.say("sealed", run.name, run.n_frames)
        else:
            raise RunRefused(refusal)

    def _push_once(self, run: Run) -> None:
        producer = Producer(
            self.broker, run.name, spec_of(run), settings=self.settings, resume=True,
            deadline_s=None, tell=lambda _: None, **self.spool,
        )  # fmt: skip
        with contextlib.closing(producer):
            self._push_frames(producer, run)

    def _push_frames(self, producer: Producer, run: Run) -> None:
        here, skipped = producer.next_index, 0
        before = self.journal.accepted.get(run.name, 0)
        settled = self.spool and run.name in self.journal.sealed  # nobody keeps what is on disk
        if here < before and not settled:
            self.journal.say("forgot", run.name, before, here)
            skipped = before - here if self.careless else 0
        self.journal.say("opened", run.name, here)
        while (first := producer.next_index) < run.n_frames:
            n = self._may_push(first, min(BLOCK, run.n_frames - first))
            source = min(first + skipped, run.n_frames - n)
            producer.push(run.frames(source, n))
            self.journal.say("pushed", run.name, producer.next_index)
            self.board[1] = max(self.board[1], self.before + producer.next_index)
        producer.seal()
        while not producer.settle():
            time.sleep(PAUSE_S)
        self.journal.say("sealed", run.name, run.n_frames)

    def _may_push(self, first: int, n: int) -> int:
        """Wait for the campaign's leave."""
        while self.board[0] < self.before + first + n:
            time.sleep(0.005)
        return n

    def see_finished(self, run: Run) -> None:
        """Keep the frames until the run is finished: the server may still forget them."""
        while run.name not in self.journal.finished:
            try:
                state = self.broker.run(run.name)
            except Retry:
                time.sleep(PAUSE_S)
                continue
            if state is not None and state.finished:
                self.journal.say("finished", run.name)
            elif state is not None and state.refusal:
                self._require_complete(run, state.refusal)
            elif state is None or state.sealed is None:
                self.before = 0
                self.push(run)
            else:
                time.sleep(PAUSE_S)


def main() -> None:
    wait_for_the_call()
    protection, spool, url, script, number, board, journal, *words = sys.argv[1:]
    settings = settings_from_options([w for w in words if w != "--set"])
    row = np.memmap(board, dtype=np.int64, mode="r+").reshape(-1, 2)[int(number)]
    player = Player(RedisBroker(url, settings), settings, Journal(Path(journal)), row)
    player.spool = {"spool": Path(spool)} if spool else {}
    player.careless = protection == "rewind"
    PROTECTIONS[protection]()
    player.play(Script.load(Path(script)).of_producer(int(number)))


if __name__ == "__main__":
    main()
