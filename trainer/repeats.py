"""Structures that come again: with the same spectrum, which teaches nothing, or with another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.archive import Labels
from trainer.findings import Limits, Reason, Suspicion
from xas.measures import percentage_error
from xas.structure import Sites, StructureBatch

ROUNDING_ANGSTROM = 1e-3


@dataclass(frozen=True, slots=True)
class Repeats:
    """Of a batch: indices of labels whose structure came before (in the batch, or among those that
    are known) with the same spectrum, and with another; ``apart`` (percent) of the latter."""

    same: tuple[int, ...]
    other: tuple[int, ...]
    apart: tuple[float, ...]


def fingerprints(batch: StructureBatch, sites: Sites) -> list[str]:
    """One text a site: which elements lie at which distances, to 0.001 angstrom.

    The same for a structure that was moved, turned, or has its atoms in another order.
    """
    found = []
    for structure, atom in zip(sites.structure, sites.atom, strict=True):
        first, end = batch.offsets[structure], batch.offsets[structure + 1]
        places = batch.positions[first:end].astype(np.float64)
        away = np.linalg.norm(places - places[atom], axis=1)
        steps = np.round(away / ROUNDING_ANGSTROM).astype(np.int64)
        rows = np.stack([batch.numbers[first:end].astype(np.int64), steps], axis=1)
        rows = rows[np.lexsort(rows.T)]
        found.append(hashlib.sha256(rows.tobytes()).hexdigest())
    return found


def repeats_of(labels: Labels, known: Labels | None, contradiction_percent: float) -> Repeats:
    """What comes again. Spectra that differ by more than ``contradiction_percent`` contradict."""
    seen: dict[str, NDArray[np.float64]] = {}
    if known is not None and np.array_equal(known.energy, labels.energy):
        seen = dict(zip(fingerprints(known.batch, known.sites), known.intensity, strict=True))
    same, other, apart = [], [], []
    for i, print_ in enumerate(fingerprints(labels.batch, labels.sites)):
        if print_ not in seen:
            seen[print_] = labels.intensity[i]
            continue
        distance = float(percentage_error(labels.intensity[i], seen[print_])[0])
        if distance > contradiction_percent:
            other.append(i)
            apart.append(distance)
        else:
            same.append(i)
    return Repeats(tuple(same), tuple(other), tuple(apart))


def with_repeats(found: Suspicion, repeats: Repeats, limits: Limits) -> Suspicion:
    """A finding, and what comes again: refused where many contradict, else these are set aside."""
    many = len(repeats.other) > limits.odd_share * found.n_labels
    decision = "refuse" if many else found.decision
    aside = {*found.set_aside, *repeats.same, *repeats.other} if decision == "accept" else set()
    return msgspec.structs.replace(
        found,
        decision=decision,
        reasons=(*found.reasons, *_reasons(repeats, found.n_labels, limits)),
        set_aside=tuple(sorted(aside)),
    )


def _reasons(repeats: Repeats, n: int, limits: Limits) -> list[Reason]:
    reasons = []
    if repeats.other:
        away = float(np.median(repeats.apart))
        reasons.append(
            Reason(
                kind="contradiction",
                words=f"{len(repeats.other)} of {n} labels are of structures that have another "
                f"spectrum already, {away:.1f} % away: shuffled, or another theory",
                figure=away,
                limit=limits.contradiction,
            )
        )
    if repeats.same:
        reasons.append(
            Reason(
                kind="repeated",
                words=f"{len(repeats.same)} of {n} labels are known already",
                figure=float(len(repeats.same)),
                limit=0.0,
            )
        )
    return reasons
