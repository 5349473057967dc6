"""``edgestream models``: what models there are, how good, and which of them is at work."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.import_command import import_app
from edgestream.judge_command import models_judge
from edgestream.options import AsJson, Models
from edgestream.shadow_command import models_shadow
from edgestream.suspect_command import models_suspect
from xas.errors import Reject

if TYPE_CHECKING:
    from model_store.bundle import Bundle
    from model_store.history import Entry
    from model_store.store import Store

models_app = typer.Typer(
    help="What models there are, how good they are, and which of them is at work.\n\n"
    "A model has a name and versions that never change. An alias stands for one version: champion "
    "is the one that workers use, challenger and shadow are tried beside it, others are yours to "
    "name. A reference is NAME (its champion), NAME@VERSION or NAME@ALIAS.\n\n"
    "edgestream models put new-bundle/          a new version; nothing else changes\n\n"
    "edgestream models diff fe-k fe-k@4         champion against version 4\n\n"
    "edgestream models promote fe-k@4 --why 'better on the 2026 labels'\n\n"
    "edgestream models rollback fe-k            as it was before",
)
models_app.add_typer(import_app, name="import", no_args_is_help=True)
models_app.command("shadow")(models_shadow)
models_app.command("judge")(models_judge)
models_app.command("suspect")(models_suspect)

Name = Annotated[str, typer.Argument(help="NAME of a model.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the history.")]
Who = Annotated[
    str | None, typer.Option("--who", help="Kept in the history. Default: you@this-machine.")
]


@models_app.command("list")
def models_list(models: Models = None, as_json: AsJson = False) -> None:
    """All models, a line each, with the aliases that stand for them."""
    from edgestream.model_tables import print_models
    from edgestream.models import open_store
    from edgestream.tables import print_json

    store = open_store(models)
    found = store.list()
    if as_json:
        print_json(found)
    else:
        print_models(found, {name: store.aliases(name) for name in {m.name for m in found}})


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a bundle folder.")],
    models: Models = None,
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table of measures as Markdown.")
    ] = False,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="How often its intervals hold, and where.")
    ] = False,
) -> None:
    """One model: what it predicts, how good it is, what it was trained on."""
    from edgestream.model_tables import print_coverage, print_measures_markdown, print_model
    from edgestream.models import open_store
    from edgestream.tables import print_json

    manifest = open_store(models).get(name).manifest
    if as_json:
        print_json(manifest)
    elif markdown:
        print_measures_markdown(manifest)
    elif calibration:
        print_coverage(manifest)
    else:
        print_model(manifest)


@models_app.command("put")
def models_put(
    bundle: Annotated[Path, typer.Argument(help="Folder with manifest, model and check input.")],
    models: Models = None,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Copy a bundle into the store as the next version of its model. No alias moves.

    Its hashes and its answer to its own check input are verified first. Whole or not at all.
    """
    from edgestream.models import open_store
    from edgestream.store_tables import say_put
    from edgestream.tables import print_json

    store = open_store(models)
    found = store.get(bundle)  # no network is run before its signature is known
    require_fit(found)
    version = store.put(bundle, who=who or operator())
    name = found.manifest.name
    put = {"name": name, "version": version, "champion": store.resolve(name).version}
    if as_json:
        print_json(put)
    else:
        say_put(name, version, store.resolve(name).version)


@models_app.command("promote")
def models_promote(
    reference: Annotated[str, typer.Argument(help="NAME@VERSION, or NAME@ALIAS.")],
    alias: Annotated[str, typer.Option("--as", help="The alias to move.")] = "champion",
    why: Why = "",
    expect: Annotated[
        int | None,
        typer.Option(help="Refuse unless the alias stands for this version until now."),
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(help="Part of the frames that a challenger predicts, e.g. 10%."),
    ] = None,
    who: Who = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias stand for a version, once the version is verified.

    edgestream models promote fe-k@4 --why 'better on the 2026 labels'

    edgestream models promote fe-k@5 --as challenger --share 10%

    edgestream models promote fe-k@5 --as shadow         predicts beside it, and is compared

    edgestream models promote fe-k@challenger            the challenger won

    Of two operators at once one wins; the other is told who, and nothing of theirs happens.
    """
    from edgestream.models import open_store
    from edgestream.quantities import part

    taken = None if share is None else part(share)
    name, _, which = reference.partition("@")
    if not which:
        raise Reject(f"{reference}: which version of it? e.g. {reference}@2")
    store = open_store(models)
    bundle = store.get(reference)
    require_fit(bundle)
    version = bundle.manifest.version
    entry = store.promote(
        name, version, alias, who=who or operator(), why=why, expect=expect, share=taken
    )
    tell(entry, store, name, alias, as_json)


@models_app.command("rollback")
def models_rollback(
    name: Name,
    alias: Annotated[str, typer.Option("--alias", help="The alias to move back.")] = "champion",
    why: Why = "",
    who: Who = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias stand for the version it stood for before; again: one further back."""
    from edgestream.models import open_store

    store = open_store(models)
    entry = store.rollback(name, alias, who=who or operator(), why=why)
    tell(entry, store, name, alias, as_json)


@models_app.command("retire")
def models_retire(
    name: Name,
    alias: Annotated[str, typer.Argument(help="challenger, shadow, or a name of your own.")],
    why: Why = "",
    who: Who = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Take an alias away: its version is no longer tried. The champion stays."""
    from edgestream.models import open_store

    store = open_store(models)
    entry = store.retire(name, alias, who=who or operator(), why=why)
    tell(entry, store, name, alias, as_json)


@models_app.command("history")
def models_history(
    name: Name,
    limit: Annotated[int, typer.Option("-n", min=1, help="So many moves, the latest.")] = 20,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Who moved which alias, when, from where to where, and why; latest first."""
    from edgestream.models import open_store
    from edgestream.store_tables import print_history
    from edgestream.tables import print_json

    entries = open_store(models).history(name, limit)
    if as_json:
        print_json(entries)
    else:
        print_history(name, entries)


@models_app.command("diff")
def models_diff(
    a: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, NAME@ALIAS or a bundle folder.")],
    b: Annotated[str, typer.Argument(help="The one to compare it with.")],
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Two models side by side: manifests, features, measures, and what they predict.

    edgestream models diff fe-k fe-k@challenger

    Both predict each other's stored check input, if they take the same kind of input for the same
    edge: how far apart their spectra are, and how far in standard deviations of the first.
    """
    from edgestream.models import open_store
    from edgestream.store_tables import print_comparison
    from edgestream.tables import print_json
    from model_store.comparison import compare

    store = open_store(models)
    found = compare(store.get(a), store.get(b))
    if as_json:
        print_json(found)
    else:
        print_comparison(found)


@models_app.command("verify")
def models_verify(
    reference: Annotated[
        str | None, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS. Default: all.")
    ] = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Check every hash, every model's answer to its own check input, and every alias.

    Exit codes: 0 all is as it should be, 2 something is not.
    """
    from edgestream.models import open_store
    from edgestream.store_tables import print_findings
    from edgestream.tables import print_json
    from model_store.verification import verify

    store = open_store(models)
    name, _, which = (reference or "").partition("@")
    version = store.resolve(name, which).version if which else None
    found = list(verify(store, name or None, version))
    if as_json:
        print_json(found)
    else:
        print_findings(found)
    faults = [f for f in found if f.fault]
    if faults:
        raise Reject(f"{len(faults)} of {len(found)}: {faults[0].subject}: {faults[0].fault}")


@models_app.command("sign")
def models_sign(
    bundle: Annotated[Path, typer.Argument(help="Folder with manifest, model and check input.")],
    key: Annotated[Path, typer.Option(help="Ed25519 private key, PEM, without a passphrase.")],
    as_json: AsJson = False,
) -> None:
    """Sign a bundle before it is put: you vouch for it. Needs the extra: edgestream[signing].

    openssl genpkey -algorithm ed25519 -out me.key; openssl pkey -in me.key -pubout -out keys/me.pem

    edgestream models sign new-bundle/ --key me.key; edgestream models put new-bundle/

    Where $EDGESTREAM_MODEL_KEYS names the folder keys/, workers and commands refuse every model
    that none of its keys has signed, but for those that come with edgestream.
    """
    from edgestream.tables import print_json
    from model_store.signature import sign

    require_fit(_opened(bundle))
    signed = sign(bundle, key)
    if as_json:
        print_json({"name": signed.name, "signature": signed.signature})
    else:
        typer.echo(f"{signed.name} in {bundle} is signed")


def _opened(folder: Path) -> Bundle:
    from model_store.bundle import open_bundle

    return open_bundle(folder)


@models_app.command("gc")
def models_gc(
    name: Annotated[str | None, typer.Argument(help="NAME of a model. Default: all.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Do it, and not only say it.")] = False,
    days: Annotated[float, typer.Option(min=0, help="Keep what was put within these days.")] = 30.0,
    keep: Annotated[
        int, typer.Option(min=1, help="Keep what an alias stood for in its last moves.")
    ] = 5,
    who: Who = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Say which old versions nothing names any more; with --delete, remove them.

    Kept is what an alias stands for, or stood for in its last --keep moves; the highest version;
    what is younger than --days; and the models that come with edgestream, always. Leftovers of
    interrupted copies go after an hour. A number is never used again.
    """
    from edgestream.models import open_store
    from edgestream.store_tables import print_garbage
    from edgestream.tables import print_json
    from model_store.garbage import collect, find_garbage

    store = open_store(models)
    names = [name] if name else store.names()
    if delete:
        by = who or operator()
        found = [collect(store, n, who=by, days=days, keep_moves=keep) for n in names]
    else:
        found = [find_garbage(store, n, days=days, keep_moves=keep) for n in names]
    if as_json:
        print_json({"deleted": delete, "models": found})
    else:
        print_garbage(found, deleted=delete)


def operator() -> str:
    """Who is at the keyboard: user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container without a password file
    return f"{user}@{socket.gethostname()}"


def require_fit(bundle: Bundle) -> None:
    """Reject a model that does not give its own stored answer here."""
    from model_store.verification import parity_fault

    if fault := parity_fault(bundle):
        raise Reject(f"{bundle.reference}: {fault}; nothing was changed")


def tell(entry: Entry, store: Store, name: str, alias: str, as_json: bool) -> None:
    """What a move did."""
    from edgestream.store_tables import say_moved
    from edgestream.tables import print_json

    if as_json:
        print_json(entry)
    else:
        say_moved(entry, name, alias, store.aliases(name).get(alias))
