"""A process that pushes bulk frames without end, as a backfill does, until it is killed.

``python -m edgestream.bench.backfill URL RUN MODEL FRAMES DATA``: so many frames are accepted and
not yet on disk, once they have been pushed. DATA: a folder, or nothing for what ships.
"""

from __future__ import annotations

import sys
import time
from itertools import cycle
from pathlib import Path

from edgestream.bench.structures import movie
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.settings import Settings

NO_MARK = Settings(high_water_bytes=2**40)
LOOK_S = 0.05


def main() -> None:
    """See the module."""
    url, run, model, n_frames, data = sys.argv[1:]
    broker = RedisBroker(url, NO_MARK)
    spec = RunSpec(model=model, priority="bulk")
    producer = Producer(broker, run, spec, settings=NO_MARK)
    on_disk = 0
    for chunk in cycle(movie(Path(data) if data else None).chunks):
        while producer.next_index - on_disk >= int(n_frames):
            time.sleep(LOOK_S)
            on_disk = frames_on_disk(broker, run)
        producer.push(chunk.structures)


def frames_on_disk(broker: RedisBroker, run: str) -> int:
    """How many frames of the run are on disk."""
    state = broker.run(run)
    assert state is not None, run
    return state.watermark


if __name__ == "__main__":
    main()
