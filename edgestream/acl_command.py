"""``edgestream acl``: users for the server, one a role."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.options import AsJson, Set, Url, server_url, settings_of
from xas.errors import Reject


def acl(
    passwords: Annotated[
        Path | None,
        typer.Option(help="Folder with one file a role: producer, worker, writer, ..."),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the passwords that are not there, at random.")
    ] = False,
    load: Annotated[
        bool, typer.Option("--load", help="Load our scripts into the server, as its operator.")
    ] = False,
    redis_url: Url = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Print the server's ACL file: what producers, workers, writers, viewers, operators may do.

    edgestream acl --passwords secrets/ --create > users.acl

    redis-server --aclfile users.acl ...

    edgestream acl --load --redis-url 'redis://operator@host?password_file=secrets/operator'

    edgestream worker --redis-url 'redis://worker@host?password_file=secrets/worker'

    The file holds hashes, no passwords. Nobody else gets in, and a user may call only the scripts
    of its role, of this version of edgestream: print it again after an update, and then ACL LOAD.
    Who is no operator loads no scripts: the writer does so for all whenever it begins and every few
    seconds, --load does it now. With more than one shard add --set shards=N.
    """
    if load == (passwords is not None):
        raise Reject("say --passwords DIR to print an ACL file, or --load to load the scripts")
    if passwords is not None:
        _print(passwords, set_, create=create, as_json=as_json)
    else:
        _load(server_url(redis_url), as_json=as_json)


def _print(folder: Path, set_: list[str] | None, *, create: bool, as_json: bool) -> None:
    from edgestream.tables import print_json
    from stream.acl import ROLES, acl_lines

    found = {role: _password(folder / role, create=create) for role in ROLES}
    if len(set(found.values())) < len(found):
        raise Reject(f"{folder}: two roles have the same password")
    lines = list(acl_lines(found, settings_of(set_)))
    if as_json:
        print_json(lines)
    else:
        typer.echo("\n".join(lines))


def _password(path: Path, *, create: bool) -> str:
    from edgestream.passwords import SHORTEST, make_password, read_password

    if create and not path.exists():
        return make_password(path)
    password = read_password(path)
    if len(password) < SHORTEST:
        raise Reject(f"{path}: a password has {SHORTEST} characters or more; --create makes some")
    return password


def _load(url: str, *, as_json: bool) -> None:
    from edgestream.tables import print_json
    from stream.redis_connection import RedisConnection
    from stream.scripts import load_missing, scripts

    server = RedisConnection(url)
    loaded = load_missing(server)
    server.close()
    if as_json:
        print_json({"scripts": len(scripts()), "loaded": loaded})
    else:
        typer.echo(f"{len(scripts())} scripts are there, {loaded} of them new")
