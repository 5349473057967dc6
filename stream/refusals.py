"""Why a broker refuses a producer, in words: the same from every broker."""

from __future__ import annotations

from typing import NoReturn

from stream.broker import PRIORITIES, RunState
from xas.errors import Backpressure, Fenced, HeldBack, RunForgotten, RunRefused


def check_priority(priority: str) -> None:
    """RunRefused for a priority that no broker has."""
    if priority not in PRIORITIES:
        raise RunRefused(f"priority {priority!r} is none of {', '.join(PRIORITIES)}")


def refuse_full(run: str, held_bytes: int) -> NoReturn:
    """Backpressure above the high-water mark."""
    raise Backpressure(
        f"run {run!r} has {held_bytes} bytes accepted and not yet on disk, with room for results "
        "to come: the workers or the writer are behind"
    )


def refuse_crowded(run: str, held_bytes: int) -> NoReturn:
    """Backpressure where all runs of a priority together hold too much."""
    raise Backpressure(
        f"run {run!r} waits: the runs of its priority have {held_bytes} bytes accepted and not yet "
        "on disk: the workers or the writer are behind, or runs are refused (edgestream status)"
    )


def refuse_while_draining() -> NoReturn:
    """HeldBack until an operator ends the drain."""
    raise HeldBack(
        "the service is being drained for maintenance and takes no frames until an operator opens "
        "it again (edgestream drain --release)"
    )


def refuse_paused(run: str) -> NoReturn:
    """HeldBack until an operator resumes the run."""
    raise HeldBack(f"run {run!r} is paused until an operator resumes it (edgestream resume {run})")


def refuse_to_pause(run: str, state: RunState | None) -> None:
    """RunRefused where there is no producer to hold back."""
    if state is None:
        raise RunRefused(f"run {run!r} is not known here: edgestream status lists the runs")
    if state.sealed is not None:
        raise RunRefused(f"run {run!r} is complete with {state.sealed} frames: nothing to pause")


def refuse_to_discard(run: str, *, known: bool) -> NoReturn:
    """RunRefused where there is nothing that has to go."""
    if not known:
        raise RunRefused(f"run {run!r} is not known here: edgestream status lists the runs")
    raise RunRefused(f"run {run!r} is not refused by its writer: only such a run is discarded")


def refuse_crowd(held_bytes: int) -> NoReturn:
    """Backpressure where the bulk of a shard waits already."""
    raise Backpressure(
        f"{held_bytes} bytes of bulk frames are accepted and not yet on disk: requeue again when "
        "the workers and the writer have caught up"
    )


def refuse_fenced(run: str) -> NoReturn:
    """Fenced where a later producer has opened the run."""
    raise Fenced(f"run {run!r} was opened by another producer; this one must stop")


def refuse_unknown(run: str) -> NoReturn:
    """RunForgotten where the broker has no such run."""
    raise RunForgotten(f"the server does not know run {run!r} any more")


def refuse_by_writer(run: str, reason: str) -> NoReturn:
    """RunRefused in the writer's own words."""
    raise RunRefused(f"the writer refuses run {run!r}: {reason}")


def refuse_sealed(run: str, n_frames: int) -> NoReturn:
    """RunRefused for a run that is complete."""
    raise RunRefused(f"run {run!r} is complete with {n_frames} frames: take another name")


def refuse_existing(run: str, n_frames: int) -> NoReturn:
    """RunRefused for a run that is somebody's, and not asked to be resumed."""
    raise RunRefused(
        f"run {run!r} holds {n_frames} frames already: resume it, or take another name"
    )
