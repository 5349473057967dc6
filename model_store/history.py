"""The history of a model's aliases: an append-only list of moves, each with how all stand after it.

An entry is made under the next number or not at all, so that every move compares and swaps: it was
decided on what stood at the entry before. The last entry alone says where every alias stands and
where it stood before; nobody has to read the others to resolve, roll back or collect garbage.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec
from msgspec import Struct

from model_store.shelf import HISTORY, Shelf, entry_name
from xas.errors import BadModel, StorageFailed, StoreUnreachable

MAX_TRAIL = 32
MAX_RACES = 1000


class Entry(Struct, frozen=True, kw_only=True):
    """One move, and how everything stands after it.

    action   promote, rollback, retire, put (holds the champion where it is) or gc
    before, after  versions; None: the alias was not, or is no longer
    when     UTC, ISO 8601
    trails   alias -> versions that it has stood for; it stands for the last, a rollback goes back
             by one
    shares   alias -> the part of the frames, 0 to 1, that its version takes from the champion
    removed  versions that were removed; their numbers are never used again
    nonce    tells this entry from one of the same words
    """

    number: int
    action: str
    alias: str = ""
    before: int | None = None
    after: int | None = None
    who: str = ""
    when: str = ""
    why: str = ""
    trails: dict[str, tuple[int, ...]] = {}
    removed: tuple[int, ...] = ()
    shares: dict[str, float] = {}
    nonce: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)

    def version(self, alias: str) -> int | None:
        """The version that an alias stands for after this entry."""
        trail = self.trails.get(alias)
        return trail[-1] if trail else None


NOTHING = Entry(number=0, action="")


class History:
    """The moves of one model on one shelf; remembers the last entry, so that asking is cheap."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self._shelf, self._name = shelf, name
        self._last: Entry | None = None
        self.stale = ""

    def last(self) -> Entry:
        """How things stand: one look at whether there is a next entry.

        Where the shelf is out of reach: what was seen last, and ``stale`` says why. Raises
        StoreUnreachable where nothing was seen yet.
        """
        try:
            entry = self._last or self._first_look()
            while found := self._read(entry.number + 1):
                entry = found
            self.stale = ""
        except StoreUnreachable as error:
            entry = self._last or self._recall(error)
            self.stale = f"{error}; going on with what is known here"
        self._last = entry
        return entry

    def entries(self, limit: int) -> list[Entry]:
        """The last entries, latest first."""
        last = self.last().number
        numbers = range(last, max(0, last - limit), -1)
        return [entry for number in numbers if (entry := self._read(number))]

    def append(self, decide: Callable[[Entry], Entry | None]) -> Entry:
        """Add what ``decide`` makes of how things stand; asked again if somebody was faster.

        ``decide`` returns None for nothing to do, and raises to refuse.
        """
        for _ in range(MAX_RACES):
            last = self.last()
            if self.stale:
                raise StoreUnreachable(self.stale.partition(";")[0] + "; nothing was changed")
            entry = decide(last)
            if entry is None:
                return last
            entry = msgspec.structs.replace(entry, number=last.number + 1)
            if self._shelf.append(self._name, entry.number, encode(entry)):
                self._last = entry
                return entry
        raise StorageFailed(f"{self._shelf.where}/{self._name}/{HISTORY}: takes no further entry")

    def _first_look(self) -> Entry:
        number = self._shelf.last_entry(self._name)
        return self._read(number) or NOTHING if number else NOTHING

    def _read(self, number: int) -> Entry | None:
        data = self._shelf.entry(self._name, number)
        where = f"{self._shelf.where}/{self._name}/{HISTORY}/{entry_name(number)}"
        return None if data is None else decode(data, number, where)

    def _recall(self, error: StoreUnreachable) -> Entry:
        data = self._shelf.remembered(self._name)
        if data is None:
            raise error
        return NOTHING if not data else decode(data, None, f"the cache of {self._shelf.where}")


def encode(entry: Entry) -> bytes:
    """The JSON of an entry, for reading."""
    return msgspec.json.format(msgspec.json.encode(entry), indent=1) + b"\n"


def decode(data: bytes, number: int | None, where: str) -> Entry:
    """An entry from its JSON. Raises BadModel, naming ``where``."""
    try:
        entry = msgspec.json.decode(data, type=Entry)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise BadModel(f"{where}: not an entry of a history ({error}); restore it") from None
    if number is not None and entry.number != number:
        raise BadModel(f"{where}: it says that it is entry {entry.number}; was it moved by hand?")
    return entry
