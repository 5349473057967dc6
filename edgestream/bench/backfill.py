"""A process that pushes bulk frames without end, as a backfill does, until it is killed.

``python -m edgestream.bench.backfill URL RUN MODEL HIGH_WATER_BYTES DATA``; DATA: a folder, or
nothing for what ships.
"""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path

from edgestream.bench.structures import movie
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.settings import Settings


def main() -> None:
    """See the module."""
    url, run, model, mark, data = sys.argv[1:]
    settings = Settings(high_water_bytes=int(mark))
    spec = RunSpec(model=model, priority="bulk")
    producer = Producer(RedisBroker(url, settings), run, spec, settings=settings)
    for chunk in cycle(movie(Path(data) if data else None).chunks):
        producer.push(chunk.structures)


if __name__ == "__main__":
    main()
