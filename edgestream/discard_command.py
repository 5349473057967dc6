"""``edgestream discard``: an end for a run that its writer refuses."""

from __future__ import annotations

from typing import Annotated

import typer

from edgestream.options import AsJson, Set, Url, server_url, settings_of
from xas.errors import Reject


def discard(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: frames that are not in a file are gone.")
    ] = False,
    redis_url: Url = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Forget a run that the writer refuses, and the frames of it that wait in the server.

    edgestream discard md-300K --yes

    Such frames are on no disk, so they wait until what the refusal names is mended (edgestream
    status) and the run is resumed: then none is lost. Discard them where nobody wants that. Result
    files are not touched.
    """
    from edgestream.tables import print_json
    from stream.redis_broker import RedisBroker

    broker = RedisBroker(server_url(redis_url), settings_of(set_))
    broker.check_version()
    state = broker.run(run)
    if state is not None and state.refusal and not yes:
        n = state.next_index - state.watermark
        raise Reject(f"run {run!r}: {n} frames that are on no disk would be gone; say --yes")
    freed = broker.discard(run)
    broker.close()
    if as_json:
        print_json({"run": run, "freed_bytes": freed})
    else:
        typer.echo(f"run {run!r} is forgotten, with {freed} bytes that waited in the server")
