"""Labels in memory: the contract of ``stream.label_stream`` within one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from stream.broker import Lease
from stream.label_stream import (
    LABELS_AT_A_TIME,
    NOTICES,
    OUTCOMES,
    LabelState,
    Outcome,
    WaitingLabel,
)
from stream.settings import Settings
from xas.errors import Fenced


class MemoryLabelStream:
    """See ``stream.label_stream.LabelStream`` for what each call promises. Never waits."""

    def __init__(
        self, settings: Settings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or Settings()
        self._clock = clock
        self._held: dict[bytes, WaitingLabel] = {}
        self._counts: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
        self._notices: list[bytes] = []
        self._n_pushed = 0
        self._owner, self._epoch, self._until, self._last = "", 0, 0.0, 0.0

    def close(self) -> None:
        """Nothing: what waits stays."""

    def push(self, payloads: Sequence[bytes]) -> list[bool]:
        """See LabelStream."""
        return [self._push(bytes(payload)) for payload in payloads]

    def _push(self, payload: bytes) -> bool:
        if payload in self._held:
            return True
        held = self._held_bytes()
        if held and held + len(payload) > self.settings.label_bytes:
            return False
        self._n_pushed += 1
        self._held[payload] = WaitingLabel(
            id=str(self._n_pushed), payload=payload, t_pushed=self._clock()
        )
        return True

    def _held_bytes(self) -> int:
        return sum(map(len, self._held))

    def acquire(self, owner: str) -> Lease:
        """See LabelStream."""
        if self._owner not in ("", owner) and self._clock() < self._until:
            self._until = min(self._until, self._clock() + self.settings.lease_s)
            raise Fenced(f"labels are being archived by {self._owner}")
        self._owner, self._epoch = owner, self._epoch + 1
        self._until = self._clock() + self.settings.lease_s
        return Lease(shard=0, owner=owner, epoch=self._epoch)

    def renew(self, lease: Lease) -> None:
        """See LabelStream."""
        self._check(lease)
        self._until = self._clock() + self.settings.lease_s

    def yield_lease(self, lease: Lease) -> None:
        """See LabelStream."""
        if lease.epoch == self._epoch:
            self._owner, self._until = "", 0.0

    def _check(self, lease: Lease) -> None:
        if lease.epoch != self._epoch:
            raise Fenced(f"{lease.owner} archives labels no longer: another one took over")

    def waiting(self, *, block_s: float, most: int = LABELS_AT_A_TIME) -> list[WaitingLabel]:
        """See LabelStream."""
        del block_s
        return list(self._held.values())[:most]

    def done(self, lease: Lease, outcomes: Sequence[tuple[str, Outcome]]) -> None:
        """See LabelStream."""
        self._check(lease)
        known = {label.id: payload for payload, label in self._held.items()}
        for id_, outcome in outcomes:
            if id_ in known:
                self._held.pop(known.pop(id_))
                self._counts[outcome] += 1
        self._last = self._clock()

    def note(self, lease: Lease, notices: Sequence[bytes]) -> None:
        """See LabelStream."""
        self._check(lease)
        self._notices = [*reversed(notices), *self._notices][:NOTICES]

    def state(self) -> LabelState:
        """See LabelStream."""
        return LabelState(
            waiting=len(self._held),
            waiting_bytes=self._held_bytes(),
            outcomes=dict(self._counts),
            archive=self._owner,
            archive_alive=bool(self._owner) and self._clock() < self._until,
            last_archived=self._last,
            notices=tuple(self._notices),
        )
