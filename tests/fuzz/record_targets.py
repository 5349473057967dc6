"""What roles may write on the server by hand, and files of records."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
from mutation import NUMBERS, TEXT_WORDS, TEXTS, mad
from target import Target
from wire_targets import letter

from stream.codec import pack
from stream.dead_letters import RunLetters
from stream.messages import RunSpec
from stream.record_file import append
from stream.redis_answers import (
    RUN_FIELDS,
    located,
    result_from,
    run_state_from,
    with_values,
)
from stream.redis_views import shadow_from, worker_from
from xas.errors import BadMessage

SPEC = msgspec.msgpack.encode(RunSpec(model="fe-k"))
STATE: dict[str, Any] = {
    "spec": SPEC,
    "epoch": b"1700000000000",
    "opened_at": b"1700000000.25",
    **dict.fromkeys(("next", "watermark", "bytes", "dropped", "dead"), b"5"),
    **dict.fromkeys(("interrupted", "finished", "resumed"), b"0"),
    **dict.fromkeys(("sealed", "file", "host", "refusal", "run_id"), b""),
    **dict.fromkeys(("dropped_first", "dropped_last"), None),
}
BLOCK = b"{es:0}:f:0123-4"
ENTRY = [b"1-1", [b"r", b"md", b"i", b"0", b"n", b"3", b"k", BLOCK]]
RESULT = [
    b"1-1",
    [
        *(b"r", b"md", b"i", b"0", b"n", b"3", b"z", b"99", b"k", b"{es:0}:r:1"),
        *(b"f", BLOCK + b" " + BLOCK, b"d", b"{es:0}:d:1"),
    ],
]


def records(folder: Path) -> Target:
    """Values of the server, as a list: what it is, then what it holds."""
    del folder

    def look(data: bytes) -> None:
        try:
            kind, *values = msgspec.msgpack.decode(data, type=list[Any])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadMessage(str(error)) from None
        if _as_the_server_says(values):
            READERS[kind % len(READERS) if isinstance(kind, int) else 0](values)

    seeds = [
        msgspec.msgpack.encode([0, b"md", *(STATE[name] for name in RUN_FIELDS)]),
        msgspec.msgpack.encode([1, *ENTRY]),
        msgspec.msgpack.encode([2, *RESULT]),
        msgspec.msgpack.encode([3, *RESULT[1], b"payload", b"block", b"block", pack([b"x"])]),
        msgspec.msgpack.encode([4, WORKER]),
        msgspec.msgpack.encode([5, SHADOW]),
    ]
    return Target(look=look, seeds=seeds, insane=_insane, words=(*TEXT_WORDS, *NAMES))


NAMES = tuple(text.encode() for text in TEXTS)
WORKER = msgspec.msgpack.encode(
    {
        **dict.fromkeys(("name", "host", "device", "problem"), "x"),
        **dict.fromkeys(("pid", "frames", "sites", "failures"), 1),
        "models": ["fe-k@1"],
        **dict.fromkeys(("busy_s", "seen_at"), 1.5),
        "stopped": False,
    }
)
SHADOW = b'{"run":"md","served":"a","shadow":"b","frames":1,"sites":2,"bins":{"3":2}}'


def _as_the_server_says(values: list[Any]) -> bool:
    """Whether a server could answer so: bytes, nothing, and flat lists of bytes in pairs."""
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    whole = all(len(value) % 2 == 0 for value in values if isinstance(value, list))
    return whole and all(v is None or isinstance(v, bytes) for v in flat)


def _state(values: list[Any]) -> None:
    name, *fields = values or [b""]
    fields = [None if isinstance(f, list) else f for f in fields]
    padded = (fields + [None] * len(RUN_FIELDS))[: len(RUN_FIELDS)]
    run_state_from(name if isinstance(name, bytes) else b"", padded, None)


def _entry(values: list[Any]) -> None:
    located("{es:0}:frames:live", _item(values))


def _result(values: list[Any]) -> None:
    result_from("{es:0}:results", _item(values))


def _whole_result(values: list[Any]) -> None:
    with_values(result_from("{es:0}:results", RESULT), [v for v in values if v is None or b""])
    found = [None if isinstance(v, list) else v for v in values[1:]]
    with_values(result_from("{es:0}:results", RESULT), (found + [None] * 4)[:4])


def _item(values: list[Any]) -> list[Any]:
    fields = next((value for value in values if isinstance(value, list)), None)
    return [b"1-1", [v or b"" for v in fields] if fields else fields]


def _worker(values: list[Any]) -> None:
    worker_from(values[0] if values and isinstance(values[0], bytes) else b"")


def _shadow(values: list[Any]) -> None:
    shadow_from(values[0] if values and isinstance(values[0], bytes) else b"")


READERS = (_state, _entry, _result, _whole_result, _worker, _shadow)


def _insane(data: bytes, rng: Random) -> bytes:
    try:
        kind, *values = msgspec.msgpack.decode(data, type=list[Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return data
    for _ in range(rng.randint(1, 3)):
        _replace(values, rng)
    return msgspec.msgpack.encode([kind, *values])


def _replace(values: list[Any], rng: Random) -> None:
    if not values:
        return
    at = rng.randrange(len(values))
    if isinstance(values[at], list) and values[at]:
        values[at][rng.randrange(len(values[at]))] = _mad_value(rng)
    else:
        values[at] = _mad_packed(values[at], rng) or _mad_value(rng)


def _mad_value(rng: Random) -> bytes:
    return rng.choice((*NAMES, *(str(n).encode() for n in NUMBERS), b"\xff\xfe", b"9" * 5000))


def _mad_packed(value: Any, rng: Random) -> bytes | None:
    """Something packed, with one of its fields mad."""
    try:
        tree = msgspec.msgpack.decode(value)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(tree, dict) or not tree:
        return None
    key = rng.choice(list(tree))
    try:
        return msgspec.msgpack.encode(tree | {key: mad(tree[key], rng)})
    except (OverflowError, ValueError):
        return b"\xc1"


def letter_files(folder: Path) -> Target:
    """A file of dead letters, as `edgestream dlq` reads it."""
    kept = RunLetters(folder, "md")
    kept.append([letter(), letter()])
    seed = kept.path.read_bytes()

    def look(data: bytes) -> None:
        kept.path.write_bytes(data)
        for found in kept.letters():
            found.original()

    def insane(data: bytes, rng: Random) -> bytes:
        path = folder / "made"
        path.unlink(missing_ok=True)
        import wire_targets

        append(path, [wire_targets.insane(letter(), rng)])
        return data + path.read_bytes()

    return Target(look=look, seeds=[seed], insane=insane, words=(b"ESR1", b"DeadLetter"))
