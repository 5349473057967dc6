"""``edgestream models shadow``: how far a shadow is from what was served."""

from __future__ import annotations

from typing import Annotated

import typer

from edgestream.options import AsJson, Set, Url, server_url, settings_of


def models_shadow(
    name: Annotated[str, typer.Argument(help="NAME of a model.")],
    redis_url: Url = None,
    as_json: AsJson = False,
    set_: Set = None,
) -> None:
    """How far the shadow of a model is from what was served, run by run.

    edgestream models promote fe-k@5 --as shadow         from now on it predicts beside the champion

    edgestream models shadow fe-k                        what came of it

    A difference is 100 sum|shadow - served| / sum(served), of each spectrum. Shadows predict only
    while no frame waits: skipped frames were not compared for want of time.
    """
    from edgestream.store_tables import print_shadows
    from edgestream.tables import print_json
    from stream.redis_broker import RedisBroker
    from stream.shadows import ShadowDifference

    broker = RedisBroker(server_url(redis_url), settings_of(set_))
    broker.check_version()
    found = [
        ShadowDifference.of(count)
        for count in broker.shadows()
        if count.served.partition("@")[0] == name
    ]
    broker.close()
    if as_json:
        print_json(found)
    else:
        print_shadows(name, found)
