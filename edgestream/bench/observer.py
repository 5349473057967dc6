"""A process that looks on while frames travel, and says when it saw which: no other clock is used.

``python -m edgestream.bench.observer results|disk URL RUN``: says "ready" on standard output, looks
on until standard input says how many frames there are and all were seen, then prints its marks as
JSON: a list of [end, time] for each thing it watched, "up to frame ``end`` at Unix ``time``".
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

from stream.redis_broker import RedisBroker

LOOK_S = 0.02  # a tenth of a commit; looking takes CPU from what is measured
Marks = dict[str, list[tuple[int, int, float]]]
"""What was seen: frames first .. end, at a time; several marks for each thing watched."""


class Ending:
    """How many frames there will be: unknown until the one who started us has said so."""

    def __init__(self) -> None:
        self._n: int | None = None

    def reached(self, seen: int) -> bool:
        """Whether all are seen."""
        if self._n is None and select.select([sys.stdin], [], [], 0)[0]:
            self._n = int(sys.stdin.readline())
        return self._n is not None and seen >= self._n


def watch_results(broker: RedisBroker, run: str) -> Marks:
    """When each result was in hand, decoded; what the writer took before us is missing."""
    from stream.following import Follower

    follower, marks = Follower(broker, run), list[tuple[int, int, float]]()
    _ready()
    while (blocks := follower.read(block_s=0.05)) or not _finished(broker, run):
        now = time.time()
        marks += [(block.first, block.first + block.n_frames, now) for block in blocks]
    return {"result": marks}


def _finished(broker: RedisBroker, run: str) -> bool:
    state = broker.run(run)
    return state is not None and state.finished


def watch_disk(broker: RedisBroker, run: str) -> Marks:
    """When rows were durable (the watermark passed them) and when the file that people open had
    them.
    """
    from stream.result_file import RunFile

    ending = Ending()
    _ready()
    durable: list[tuple[int, int, float]] = []
    readable: list[tuple[int, int, float]] = []
    on_disk = in_file = inode = 0
    while not ending.reached(min(on_disk, in_file)):
        state = broker.run(run)
        if state is not None and state.watermark > on_disk:
            durable.append((on_disk, state.watermark, time.time()))
            on_disk = state.watermark
        path = Path(state.file) if state is not None and state.file else None
        if path is not None and path.exists() and path.stat().st_ino != inode:
            inode = path.stat().st_ino  # replaced, never changed
            with RunFile(path) as file:
                n_frames = file.n_frames
            if n_frames > in_file:
                readable.append((in_file, n_frames, time.time()))
                in_file = n_frames
        time.sleep(LOOK_S)
    return {"disk": durable, "file": readable}


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    """See the module."""
    what, url, run = sys.argv[1:]
    broker = RedisBroker(url)
    watch = {"results": watch_results, "disk": watch_disk}[what]
    json.dump(watch(broker, run), sys.stdout)
    broker.close()


if __name__ == "__main__":
    main()
