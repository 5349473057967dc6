"""``edgestream exporter``: metrics of the service as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from edgestream.jobs_command import JobsUrl
from edgestream.options import Set, Url, metrics_address, server_url, settings_of
from edgestream.passwords import jobs_server


def exporter(
    metrics_port: Annotated[
        str,
        typer.Option(
            callback=metrics_address, metavar="[HOST:]PORT", help="Where Prometheus finds them."
        ),
    ] = "9400",
    redis_url: Url = None,
    jobs_url: JobsUrl = None,
    set_: Set = None,
) -> None:
    """Give Prometheus what the server knows: backlog, oldest age, workers, memory, labels, jobs.

    edgestream exporter --redis-url 'redis://viewer@host?password_file=viewer' --metrics-port 9400

    One for the whole service; serve and run have it inside. It asks the server only when it is
    asked itself, may be started and stopped at any time, and needs no more than the rights of a
    viewer. What the numbers mean: edgestream metrics.
    """
    from edgestream.recorders import serve_exporter
    from stream.redis_views import RedisViews
    from stream.service import StopSignal, say
    from stream.url_secrets import shown

    url = server_url(redis_url)
    stop = StopSignal().listen()
    views = RedisViews(url, settings_of(set_))
    serve_exporter(views, metrics_port, url, jobs_url or jobs_server())
    say(f"metrics of {shown(url)} on port {metrics_port.rpartition(':')[2]}")
    stop.wait()
    views.close()
