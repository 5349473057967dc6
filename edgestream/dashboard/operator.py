"""What changes something: promote, roll back, requeue, hold back. Only with the token."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import msgspec

from edgestream.dashboard.places import Places
from edgestream.dead_frames import Choice, find, requeue
from edgestream.models import open_store
from edgestream.passwords import SHORTEST, read_password
from model_store.aliases import CHAMPION
from model_store.verification import parity_fault
from stream.messages import check_run_name
from xas.errors import Reject

REQUEUE_S = 5.0
MOST_LETTERS = 200


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let an alias stand for a version; ``expect``: the one that the viewer saw it stand for."""

    name: str
    version: int
    alias: str = CHAMPION
    why: str = ""
    expect: int | None = None


class RollBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let an alias stand for what it stood for before."""

    name: str
    alias: str = CHAMPION
    why: str = ""


class Requeue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dead letters of a run, all of them or those of one frame; ``model``: ask another."""

    run: str
    frame: int | None = None
    model: str | None = None


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold producers back (``on``) or let them in again: of one run, or None: of all."""

    on: bool
    run: str | None = None


def read_token(path: Path | None) -> str | None:
    """The operator's token, the first line of a file; Reject for one that can be guessed."""
    if path is None:
        return None
    token = read_password(path)
    if len(token) < SHORTEST or not token.isascii():
        raise Reject(f"{path}: a token has at least {SHORTEST} characters, all of them ASCII")
    return token


class Operator:
    """Carries out what somebody with the token asks for. ``token`` None: nobody may."""

    def __init__(self, places: Places, token: str | None) -> None:
        self._places, self._token = places, token

    @property
    def is_there(self) -> bool:
        """Whether there is a token at all."""
        return self._token is not None

    def accepts(self, given: str) -> bool:
        """Whether it is the token; takes as long for a wrong one."""
        wanted = self._token or ""
        same = hmac.compare_digest(given.encode(), wanted.encode())
        return same and self._token is not None

    def promote(self, asked: Promotion, who: str) -> Any:
        """The move that was made. AliasMoved where somebody else was faster."""
        store = open_store(self._places.models)
        if fault := parity_fault(store.get(f"{asked.name}@{asked.version}")):
            raise Reject(f"{asked.name}@{asked.version}: {fault}; nothing was changed")
        return store.promote(
            asked.name, asked.version, asked.alias, who=who, why=asked.why, expect=asked.expect
        )

    def roll_back(self, asked: RollBack, who: str) -> Any:
        """The move that was made. Reject where there is nothing to go back to."""
        store = open_store(self._places.models)
        return store.rollback(asked.name, asked.alias, who=who, why=asked.why)

    def requeue(self, asked: Requeue) -> dict[str, int]:
        """How many letters; Backpressure where the service is behind."""
        check_run_name(asked.run)
        first = asked.frame
        choice = Choice(run=asked.run, first=first, end=None if first is None else first + 1)
        broker = self._places.broker()
        try:
            found = find(broker, None, choice)
            if not found:
                raise Reject(f"run {asked.run!r} has no such dead letter on this machine")
            return {"requeued": requeue(broker, found, model=asked.model, timeout_s=REQUEUE_S)}
        finally:
            broker.close()

    def hold(self, asked: Hold) -> dict[str, bool]:
        """Drain, pause, or end either; UnknownRun where there is no such run."""
        broker = self._places.broker()
        try:
            if asked.run is None:
                (broker.drain if asked.on else broker.admit)()
            else:
                check_run_name(asked.run)
                (broker.pause if asked.on else broker.resume)(asked.run)
        finally:
            broker.close()
        return {"held": asked.on}


def dead_letters(places: Places, run: str) -> list[dict[str, Any]]:
    """The first MOST_LETTERS of a run, without their frames."""
    check_run_name(run)
    broker = places.broker()
    try:
        found = find(broker, None, Choice(run=run))
    finally:
        broker.close()
    return [letter.facts() for letter in found[:MOST_LETTERS]]
