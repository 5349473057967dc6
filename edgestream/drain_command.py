"""``edgestream drain``, ``pause`` and ``resume``: an operator holds producers back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.options import AsJson, Quiet, Set, Url, server_url, settings_of
from xas.errors import Retry

if TYPE_CHECKING:
    from stream.redis_broker import RedisBroker

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")]


def drain(
    release: Annotated[
        bool, typer.Option("--release", help="Let producers in again, after the maintenance.")
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=0.0,
            help="Seconds after which to give up. Default: as long as it takes.",
        ),
    ] = None,
    redis_url: Url = None,
    set_: Set = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Empty the service before maintenance: producers wait, all that was accepted goes to disk.

    edgestream drain && systemctl stop edgestream-worker edgestream-writer

    edgestream drain --release

    Returns when every accepted frame has its row on disk and every sealed run its file. Producers
    wait by their policy (block, raise or drop), or go on into their spool. That is kept in the
    server, over restarts with its data, until --release. With more shards add --set shards=N.

    Exit codes: 0 all on disk; 3 not after --timeout, with what holds it; 130 interrupted. After
    both, producers are still held back.
    """
    from edgestream.tables import print_json

    broker = broker_of(redis_url, set_)
    if release:
        there_was = broker.admit()
        if as_json:
            print_json({"released": there_was})
        else:
            typer.echo("producers are let in again" if there_was else "the service was not drained")
    else:
        _drain(broker, timeout_s, as_json=as_json, quiet=quiet)
    broker.close()


def _drain(broker: RedisBroker, timeout_s: float | None, *, as_json: bool, quiet: bool) -> None:
    from edgestream.draining import STILL_SHUT, why_not
    from edgestream.draining import drain as drain_service
    from edgestream.progress import show_progress
    from edgestream.tables import print_json
    from stream.service import StopSignal

    stop = StopSignal().listen()
    with show_progress("drain", quiet=quiet) as progress:
        found = drain_service(broker, timeout_s, progress, stop)
    if as_json:
        print_json(found)
    if found.drained and not as_json:
        typer.echo(
            f"drained in {found.seconds:.1f} s: all that was accepted is on disk; afterwards, let "
            "producers in again: edgestream drain --release"
        )
    if not found.drained and stop.is_set():
        typer.echo(f"interrupted: {found.left}; {STILL_SHUT}", err=True)
        raise SystemExit(130)
    if not found.drained:
        raise Retry(why_not(found))


def pause(
    run: RunArgument, redis_url: Url = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Hold back the producer of one run; what it has pushed is still predicted and written.

    edgestream pause md-300K

    It waits by its policy (block, raise or drop), or goes on into its spool, until: edgestream
    resume. The run may be sealed meanwhile. Other runs do not notice.
    """
    from edgestream.tables import print_json

    broker = broker_of(redis_url, set_)
    broker.pause(run)
    broker.close()
    if as_json:
        print_json({"run": run, "paused": True})
    else:
        typer.echo(f"run {run!r} is paused; go on with: edgestream resume {run}")


def resume(
    run: RunArgument, redis_url: Url = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Let the producer of a paused run push again."""
    from edgestream.tables import print_json

    broker = broker_of(redis_url, set_)
    was_paused = broker.resume(run)
    broker.close()
    if as_json:
        print_json({"run": run, "paused": False, "was_paused": was_paused})
    else:
        typer.echo(f"run {run!r} " + ("goes on" if was_paused else "was not paused"))


def broker_of(redis_url: str | None, set_: list[str] | None) -> RedisBroker:
    """The server that was asked for; ServerUnreachable where none answers."""
    from stream.redis_broker import RedisBroker

    broker = RedisBroker(server_url(redis_url), settings_of(set_))
    broker.check_version()
    return broker
