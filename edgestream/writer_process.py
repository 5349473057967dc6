"""The writer as a process."""

from __future__ import annotations

from pathlib import Path

from edgestream.attendance import connected, stop_signal
from edgestream.recorders import recorder_of
from stream.service import Patience, say
from stream.settings import Settings
from stream.writer import Writer
from xas.errors import Fenced


def run_writer(
    url: str,
    out: Path,
    *,
    shard: int,
    settings: Settings,
    follow_parent: bool,
    metrics: str | None = None,
) -> None:
    """One writer until stopped; waits for a shard whose last writer died a moment ago."""
    stop = stop_signal(follow_parent=follow_parent)
    recorder = recorder_of("writer", metrics, out=out)
    broker = connected(url, settings, stop)
    patience = Patience(f"writer of {out}", stop.wait, longest_s=1.0)
    while not stop.is_set():
        try:
            writer = Writer(broker, out, shard=shard, settings=settings, recorder=recorder)
        except Fenced as error:
            if patience.waited_s > 2 * settings.lease_s:
                raise  # its holder lives: there is nothing to wait for
            patience.wait(error)
        else:
            say(f"writing into {out.resolve()}")
            writer.run(stop)
            break
    broker.close()
