"""The aliases of one model: where they stand, and how they are moved."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from model_store.history import MAX_TRAIL, Entry, History
from model_store.manifest import NAME
from xas.errors import AliasMoved, Reject, UnknownModel

CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"


class Aliases:
    """Moves of one model's aliases. Of two at once one succeeds, the other gets AliasMoved."""

    def __init__(
        self,
        name: str,
        history: History,
        versions: Callable[[], list[int]],
        clock: Callable[[], float],
    ) -> None:
        """``versions``: those there are, on whichever shelf, rising."""
        self.history = history
        self._name, self._versions, self._clock = name, versions, clock

    def now(self, last: Entry | None = None) -> dict[str, int]:
        """Alias -> version. A champion that nobody ever moved is the highest version."""
        trails = (last or self.history.last()).trails
        found = {alias: trail[-1] for alias, trail in sorted(trails.items())}
        if CHAMPION not in found and (versions := self._versions()):
            return {CHAMPION: versions[-1]} | found
        return found

    def promote(
        self,
        version: int,
        alias: str,
        who: str,
        why: str,
        expect: int | None = None,
        share: float | None = None,
    ) -> Entry:
        """Let an alias stand for a version; see `Store.promote`."""
        if share is not None and (alias != CHALLENGER or not 0.0 <= share <= 1.0):
            raise Reject(f"a share of {share:g} for {alias}: only a challenger takes one, 0 to 1")
        if not NAME.fullmatch(alias) or alias.isdigit():
            raise Reject(f"{alias!r} is no name of an alias (letters, digits, . _ - up to 64)")
        expected = self.now().get(alias) if expect is None else expect

        def decide(last: Entry) -> Entry | None:
            now = self._require_unmoved(alias, expected, last)
            self._require_version(version, last)
            trail = last.trails.get(alias, () if now is None else (now,))
            same_share = share is None or share == last.shares.get(alias, 0.0)
            if alias in last.trails and now == version and same_share:
                return None
            after = trail if trail[-1:] == (version,) else (*trail, version)
            entry = self._moved(last, "promote", alias, now, after, who, why)
            if share is None:
                return entry
            return msgspec.structs.replace(entry, shares=entry.shares | {alias: share})

        return self.history.append(decide)

    def rollback(self, alias: str, who: str, why: str) -> Entry:
        """Let an alias stand for what it stood for before; see `Store.rollback`."""
        expected = self.now().get(alias)

        def decide(last: Entry) -> Entry:
            now = self._require_unmoved(alias, expected, last)
            trail = last.trails.get(alias, ())
            if len(trail) < 2:
                raise Reject(
                    f"{self._name}@{alias}: there is nothing before {_text(now)} to go back to; "
                    f"promote a version"
                )
            self._require_version(trail[-2], last)
            return self._moved(last, "rollback", alias, now, trail[:-1], who, why)

        return self.history.append(decide)

    def retire(self, alias: str, who: str, why: str) -> Entry:
        """Take an alias away; see `Store.retire`."""
        if alias == CHAMPION:
            raise Reject(f"{self._name}@{alias}: workers need one; promote another version instead")
        expected = self.now().get(alias)

        def decide(last: Entry) -> Entry:
            now = self._require_unmoved(alias, expected, last)
            if now is None:
                raise self.unknown(alias)
            return self._moved(last, "retire", alias, now, (), who, why)

        return self.history.append(decide)

    def hold_champion(self, who: str, below: int | None = None) -> None:
        """Write down who is champion, if nobody did, before (or after) a version is put."""

        def decide(last: Entry) -> Entry | None:
            versions = [v for v in self._versions() if below is None or v < below]
            if not versions or CHAMPION in last.trails:
                return None
            why = "held where it is while another version is put"
            return self._moved(last, "put", CHAMPION, versions[-1], (versions[-1],), who, why)

        self.history.append(decide)

    def give_up(self, chosen: Callable[[Entry], list[int]], who: str, why: str) -> list[int]:
        """Write down that versions will be removed: from here on nobody can promote them."""
        gone: list[int] = []

        def decide(last: Entry) -> Entry | None:
            gone[:] = chosen(last)
            fresh = set(gone) - set(last.removed)
            entry = self._moved(last, "gc", "", None, (), who, why)
            removed = tuple(sorted({*last.removed, *fresh}))
            return msgspec.structs.replace(entry, removed=removed) if fresh else None

        self.history.append(decide)
        return gone

    def unknown(self, which: str, lost: int | None = None) -> UnknownModel:
        """The error for an alias or a number that stands for nothing that is there."""
        known = ", ".join([*map(str, self._versions()), *sorted({*self.now(), CHAMPION})])
        if lost is None:
            return UnknownModel(f"model {self._name!r} has no {which!r}; it has {known}")
        return UnknownModel(
            f"{self._name}@{which} stands for version {lost}, which is not there; it has {known}: "
            "promote a version"
        )

    def _require_unmoved(self, alias: str, expected: int | None, last: Entry) -> int | None:
        now = self.now(last).get(alias)
        if now != expected:
            raise AliasMoved(
                f"{self._name}@{alias} stands for {_text(now)}, not for {_text(expected)}"
                f"{self._mover(alias)}; nothing was changed: look (edgestream models history "
                f"{self._name}) and decide again"
            )
        return now

    def _mover(self, alias: str) -> str:
        entry = next((e for e in self.history.entries(20) if e.alias == alias), None)
        if entry is None:
            return ""
        reason = f" ({entry.why})" if entry.why else ""
        return f": {entry.who or 'somebody'} moved it at {entry.when}{reason}"

    def _require_version(self, version: int, last: Entry) -> None:
        if version in last.removed or version not in self._versions():
            raise self.unknown(str(version))

    def _moved(
        self,
        last: Entry,
        action: str,
        alias: str,
        before: int | None,
        trail: tuple[int, ...],
        who: str,
        why: str,
    ) -> Entry:
        trails = {key: value for key, value in last.trails.items() if key != alias}
        return Entry(
            number=last.number + 1,
            action=action,
            alias=alias,
            before=before,
            after=trail[-1] if trail else None,
            who=who,
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock())),
            why=why,
            trails=trails | ({alias: trail[-MAX_TRAIL:]} if trail else {}),
            removed=last.removed,
            shares={k: v for k, v in last.shares.items() if k != alias or trail},
        )


def _text(version: int | None) -> str:
    return "nothing" if version is None else str(version)
