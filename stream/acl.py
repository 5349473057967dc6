"""Who may do what on the server: one user a role, as lines of an ACL file.

A script runs with the rights of whoever calls it, so a role needs each command that its scripts
use, on the keys they use it on; what it may call is limited to its own scripts by their SHA-1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stream.scripts import scripts, sha1
from stream.settings import Settings

EVERYBODY = ("ping", "info", "time", "client|setname")


@dataclass(frozen=True)
class Grant:
    """Commands on some keys of every shard; ``access`` as the server writes it: ~, %R~ or %W~.

    of_shards: False for keys as they stand, which are none of a shard's
    """

    access: str
    keys: tuple[str, ...]
    commands: tuple[str, ...]
    of_shards: bool = True

    def rule(self, shards: int) -> str:
        """As a selector of the ACL."""
        places = [f"{{es:{k}}}:" for k in range(shards)] if self.of_shards else [""]
        keys = [f"{self.access}{place}{name}" for place in places for name in self.keys]
        return _selector([*keys, *(f"+{command}" for command in self.commands)])


@dataclass(frozen=True)
class Role:
    """What a user may do: call scripts, which need these keys, and commands on keys."""

    scripts: tuple[str, ...] = ()
    script_keys: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    anywhere: tuple[str, ...] = ()


def _grant(access: str, keys: str, commands: str) -> Grant:
    return Grant(access, tuple(keys.split()), tuple(commands.split()))


PRODUCER = Role(
    scripts=("open_run", "push", "drop", "seal"),
    script_keys=("run:*", "runs", "open", "frames:*", "bytes", "f:*", "gates"),
    grants=(
        _grant("~", "run:*", "exists hget hmget hset hsetnx hincrby"),
        _grant("%W~", "runs open", "sadd"),
        _grant("%W~", "frames:*", "xadd"),
        _grant("~", "bytes", "hmget hincrby"),
        _grant("%R~", "gates", "hget hmget"),
        _grant("%W~", "f:*", "set del exists strlen persist"),
    ),
)
WORKER = Role(
    scripts=(
        *("complete", "hold", "leave", "put", "publish", "bury", "keep"),
        *("begin_run", "count_shadow"),
    ),
    script_keys=(
        "frames:*",
        "results",
        "run:*",
        "bytes",
        "buried",
        "models",
        "workers",
        "shadows",
        "f:*",
        "r:*",
        "d:*",
    ),
    grants=(
        _grant("~", "frames:*", "xreadgroup xgroup|create xgroup|delconsumer xautoclaim xclaim"),
        _grant("~", "frames:*", "xpending xack xdel xinfo|consumers"),
        _grant("%R~", "f:*", "mget"),
        _grant("%W~", "f:*", "del"),
        _grant("%W~", "r:* d:*", "set del exists strlen persist"),
        _grant("%W~", "results", "xadd"),
        _grant("~", "buried", "xadd xdel xrange"),
        _grant("~", "run:* bytes", "exists hget hmget hincrby hsetnx"),
        _grant("~", "models", "hget hexists hsetnx"),
        _grant("~", "shadows", "hget hset hlen hexists expire"),
        _grant("~", "workers", "hset hdel hgetall"),
    ),
)
WRITER = Role(
    scripts=(
        *("lease", "commit", "adopt", "refuse", "mark_run", "finish"),
        *("settle", "note_dead", "unbury"),
    ),
    script_keys=(
        *("writer", "results", "run:*", "bytes", "open", "f:*", "r:*", "d:*"),
        *("notices", "buried"),
    ),
    grants=(
        _grant("~", "writer", "hget hmget hset"),
        _grant("~", "results", "xread xdel"),
        _grant("~", "run:*", "exists hget hmget hset hincrby"),
        _grant("~", "bytes", "hincrby"),
        _grant("~", "open", "smembers srem"),
        _grant("%R~", "gates", "hgetall"),
        _grant("%R~", "f:* r:* d:*", "mget"),
        _grant("%W~", "f:* r:* d:*", "del"),
        _grant("%W~", "notices", "lpush ltrim"),
        _grant("~", "buried", "xrange xdel"),
        _grant("%R~", "models", "hget"),
    ),
    anywhere=("script|load", "script|exists"),  # on behalf of all: see scripts.py
)
_SEE_LABELS = (
    _grant("%R~", "labels", "xlen xread"),
    _grant("%R~", "labels:counts labels:archive", "hmget"),
    _grant("%R~", "labels:notices", "lrange"),
)
# RQ's own keys, of the trainer's and the labeller's jobs: looked at, never asked for
_SEE_JOBS = Grant(
    "%R~",
    ("rq:*",),
    ("llen", "lrange", "zcard", "zrange", "zrevrange", "hgetall", "xrevrange"),
    of_shards=False,
)
VIEWER = Role(
    grants=(
        *_SEE_LABELS,
        _SEE_JOBS,
        _grant("%R~", "run:* bytes writer", "hmget"),
        _grant("%R~", "runs open", "smembers"),
        _grant("%R~", "gates", "hget hgetall"),
        _grant("%R~", "workers shadows", "hvals"),
        _grant("%R~", "frames:* results buried", "xlen"),
        _grant("%R~", "frames:*", "xpending"),
        _grant("%R~", "frames:* buried results", "xrange"),
        _grant("%R~", "notices", "lrange"),
        _grant("%R~", "results", "xread xinfo|stream"),
        _grant("%R~", "models", "hget"),
        _grant("%R~", "r:* d:*", "mget"),
    ),
)
_PUSH_LABELS = (
    _grant("%W~", "labels", "xadd"),
    _grant("~", "labels:held", "hexists hset"),
    _grant("~", "labels:counts", "hget hincrby"),
)
LABELLER = Role(
    scripts=("push_label",),
    script_keys=("labels", "labels:held", "labels:counts"),
    grants=(*_PUSH_LABELS, *_SEE_LABELS),
)
TRAINER = Role(
    scripts=("lease", "label_done", "note_dead"),
    script_keys=("labels", "labels:held", "labels:counts", "labels:archive", "labels:notices"),
    grants=(
        *_SEE_LABELS,
        _grant("~", "labels", "xrange xdel"),
        _grant("~", "labels:held", "hdel"),
        _grant("~", "labels:counts", "hset hincrby"),
        _grant("~", "labels:archive", "hget hmget hset"),
        _grant("%W~", "labels:notices", "lpush ltrim"),
    ),
    anywhere=("script|load", "script|exists"),  # where no writer is
)
OPERATOR = Role(
    scripts=("*",),
    script_keys=("*",),
    grants=(_grant("~", "*", "@read @write @stream"),),
    anywhere=("script|load", "script|exists", "acl|load", "acl|whoami", "acl|list", "client|list"),
)
ROLES = {
    "producer": PRODUCER,
    "worker": WORKER,
    "writer": WRITER,
    "viewer": VIEWER,
    "labeller": LABELLER,
    "trainer": TRAINER,
    "operator": OPERATOR,
}


def acl_lines(passwords: Mapping[str, str], settings: Settings) -> Iterator[str]:
    """The lines of an ACL file; ``passwords``: role -> password, of which only a hash is written.

    Whoever does not log in as one of them may do nothing.
    """
    yield "user default off resetkeys resetchannels -@all"
    for name, role in ROLES.items():
        digest = hashlib.sha256(passwords[name].encode()).hexdigest()
        yield f"user {name} on #{digest} {' '.join(_rules(role, settings.shards))}"


def _rules(role: Role, shards: int) -> Iterator[str]:
    yield "resetkeys resetchannels -@all"
    yield from (f"+{command}" for command in (*EVERYBODY, *role.anywhere))
    names = sorted(scripts()) if role.scripts == ("*",) else role.scripts
    if names:
        calls = tuple(f"evalsha|{sha1(scripts()[name])}" for name in names)
        yield Grant("~", role.script_keys, calls).rule(shards)
    if role is OPERATOR:  # categories hold much that is none of an operator's business
        yield from (_without_danger(grant.rule(shards)) for grant in role.grants)
    else:
        yield from (grant.rule(shards) for grant in role.grants)


def _without_danger(selector: str) -> str:
    return selector.removesuffix(")") + " -@dangerous -@scripting -@admin)"


def _selector(words: list[str]) -> str:
    return f"({' '.join(words)})"
