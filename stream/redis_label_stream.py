"""Labels on Redis 7 or Valkey: one stream in shard 0, whatever the number of shards.

{es:0}:labels           labels, as they were pushed: p its bytes, k their SHA-1
{es:0}:labels:held      SHA-1 -> 1 of the labels that wait
{es:0}:labels:counts    bytes that wait; new, conflict, duplicate, refused; last
{es:0}:labels:archive   the lease of whoever takes them out
{es:0}:labels:notices   the last refused labels, as words
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.broker import Lease
from stream.label_stream import (
    LABELS_AT_A_TIME,
    NOTICES,
    OUTCOMES,
    LabelState,
    Outcome,
    WaitingLabel,
)
from stream.redis_answers import as_dict, text
from stream.redis_connection import RedisConnection
from stream.scripts import load_missing
from stream.server_connections import Word
from stream.settings import Settings
from xas.errors import Fenced

LABELS = "{es:0}:labels"
HELD, COUNTS, ARCHIVE, NOTED = (f"{LABELS}:{n}" for n in ("held", "counts", "archive", "notices"))


class RedisLabelStream:
    """See ``stream.label_stream.LabelStream`` for what each call promises."""

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._server = RedisConnection(url)

    def close(self) -> None:
        """Let go of connections."""
        self._server.close()

    def check_version(self) -> str:
        """The server's version; Reject below 7.0, ServerUnreachable where none answers."""
        return self._server.check_version()

    def push(self, payloads: Sequence[bytes]) -> list[bool]:
        """See LabelStream."""
        keys, most = [LABELS, HELD, COUNTS], self.settings.label_bytes
        answers = self._server.calls("push_label", [(keys, (p, most)) for p in payloads])
        return [answer == 1 for answer in answers]

    def acquire(self, owner: str) -> Lease:
        """See LabelStream."""
        answer = self._lease(owner, "acquire", 0)
        if answer[0] == b"held":
            raise Fenced(
                f"labels are being archived by {text(answer[1])}; they are free "
                f"{self.settings.lease_s:g} s after it has stopped"
            )
        return Lease(shard=0, owner=owner, epoch=int(answer[1]))

    def renew(self, lease: Lease) -> None:
        """See LabelStream."""
        _check(lease, self._lease(lease.owner, "renew", lease.epoch))

    def yield_lease(self, lease: Lease) -> None:
        """See LabelStream."""
        self._lease(lease.owner, "yield", lease.epoch)

    def _lease(self, owner: str, verb: str, epoch: int) -> Any:
        milliseconds = int(1000 * self.settings.lease_s)
        answer = self._server.call("lease", [ARCHIVE], owner, milliseconds, verb, epoch)
        load_missing(self._server)  # for those who may not, after a restart of the server
        return answer

    def waiting(self, *, block_s: float, most: int = LABELS_AT_A_TIME) -> list[WaitingLabel]:
        """See LabelStream."""
        block: list[Word] = ["BLOCK", max(1, int(1000 * block_s))] if block_s else []
        answer = self._server.command("XREAD", "COUNT", most, *block, "STREAMS", LABELS, "0")
        return [_waiting(item) for _, items in answer or () for item in items]

    def done(self, lease: Lease, outcomes: Sequence[tuple[str, Outcome]]) -> None:
        """See LabelStream."""
        words = [word for id_, outcome in outcomes for word in (id_, outcome)]
        keys = [ARCHIVE, LABELS, HELD, COUNTS]
        _check(lease, self._server.call("label_done", keys, lease.epoch, *words))

    def note(self, lease: Lease, notices: Sequence[bytes]) -> None:
        """See LabelStream."""
        latest = notices[-NOTICES:]
        keys = [ARCHIVE, NOTED]
        _check(lease, self._server.call("note_dead", keys, lease.epoch, NOTICES, *latest))

    def state(self) -> LabelState:
        """See LabelStream."""
        waiting, counted, lease, notices, (seconds, micro) = self._server.commands(
            [
                ("XLEN", LABELS),
                ("HMGET", COUNTS, "bytes", "last", *OUTCOMES),
                ("HMGET", ARCHIVE, "owner", "until"),
                ("LRANGE", NOTED, 0, -1),
                ("TIME",),
            ]
        )
        held, last, *outcomes = (float(word or 0) for word in counted)
        return LabelState(
            waiting=waiting,
            waiting_bytes=int(held),
            outcomes={name: int(n) for name, n in zip(OUTCOMES, outcomes, strict=True)},
            archive=text(lease[0] or b""),
            archive_alive=bool(lease[0])
            and float(lease[1]) > 1e3 * float(seconds) + 1e-3 * float(micro),
            last_archived=last,
            notices=notices,
        )


def _waiting(item: Any) -> WaitingLabel:
    id_, fields = text(item[0]), as_dict(item[1])
    milliseconds = float(id_.split("-")[0])
    return WaitingLabel(id=id_, payload=fields.get(b"p", b""), t_pushed=milliseconds / 1000.0)


def _check(lease: Lease, answer: Any) -> None:
    if answer[0] == b"fenced":
        raise Fenced(f"{lease.owner} archives labels no longer: another one took over")
