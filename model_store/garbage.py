"""What a store no longer needs: old versions that nothing names, and what kills left."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model_store.history import Entry
from model_store.store import Store

KEEP_MOVES = 5
DAY_S = 86_400.0


class Garbage(Struct, frozen=True):
    """What may go of one model: versions, and leftovers by their names in its folder."""

    name: str
    versions: list[int]
    leftovers: list[str]


def find_garbage(
    store: Store, name: str, *, days: float = 30.0, keep_moves: int = KEEP_MOVES
) -> Garbage:
    """What ``collect`` would remove. Raises UnknownModel."""
    chosen = _choice(store, name, days, keep_moves)
    last = store.of(name).history.last()
    return Garbage(name, chosen(last), store.home.leftovers(name, store.clock()))


def collect(
    store: Store,
    name: str,
    *,
    who: str = "",
    days: float = 30.0,
    keep_moves: int = KEEP_MOVES,
) -> Garbage:
    """Remove old versions on the first shelf, and leftovers; their numbers are never used again.

    Kept is what an alias stands for or stood for in its last ``keep_moves`` moves, the highest
    version, and what was put less than ``days`` ago. It is first written into the history, so that
    nobody can promote meanwhile what is being removed. Raises StorageFailed.
    """
    chosen = _choice(store, name, days, keep_moves)
    gone = store.of(name).give_up(chosen, who, f"older than {days:g} days, and nothing names it")
    leftovers = store.home.leftovers(name, store.clock())
    for version in gone:
        store.home.remove(name, version)
    for leftover in leftovers:
        store.home.sweep(name, leftover)
    return Garbage(name, gone, leftovers)


def _choice(store: Store, name: str, days: float, keep_moves: int) -> Callable[[Entry], list[int]]:
    def chosen(last: Entry) -> list[int]:
        named = {v for trail in last.trails.values() for v in trail[-max(1, keep_moves) :]}
        named |= {*store.of(name).now(last).values()}
        versions = store.home.versions(name)
        horizon = store.clock() - days * DAY_S
        return [
            v
            for v in versions[:-1]
            if v not in named and (v in last.removed or store.home.put_at(name, v) < horizon)
        ]

    return chosen
