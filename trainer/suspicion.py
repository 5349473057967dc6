"""Suspicion: whether a batch of new labels may be learned from. Arrays in, a finding out.

The champion predicts every label. By how much it is wrong is known: its error bars are calibrated.
A batch that is wrong as a whole (another unit, moved in energy, shuffled, another theory) differs
from its predictions in ways in which honest labels do not, also those of a chemistry that it has
never seen; what those ways are, `signs.py` says. Labels that are wrong one by one among good ones
are found by their own error, and set aside alone.

Errors alone do not tell poison from news: a batch that lies outside the champion's training data
(novelty) is never refused for them, but kept for somebody to look at.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from trainer.archive import Labels
from trainer.findings import HONEST, Decision, Limits, Reason, Suspicion
from trainer.label_facts import common_energies, wrong_facts
from trainer.prediction import Prediction, predict_labels
from trainer.repeats import repeats_of, with_repeats
from trainer.signs import Signs, signs_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

HARD = ("element", "energies", "scale", "shift", "shuffled", "contradiction")
"""Kinds that are no news, wherever the labels lie."""
UNMATCHED = "unmatched"
"""The kind that never refuses by itself."""


def suspect(
    labels: Labels, champion: Bundle, known: Labels | None = None, limits: Limits = HONEST
) -> Suspicion:
    """May these labels be learned from? Facts first, then what the champion says of them.

    ``known``: labels that are there already; a structure that has another spectrum there, or the
    same, is told. Raises BadModel for a champion that cannot run.
    """
    manifest = champion.manifest
    if facts := tuple(wrong_facts(labels.element, labels.energy, manifest)):
        return Suspicion(decision="refuse", reasons=facts, set_aside=(), n_labels=len(labels))
    part = common_energies(labels.energy, manifest)
    energy = labels.energy[part]
    said = predict_labels(champion, labels.batch, labels.sites, energy)
    found = examine(energy, labels.intensity[:, part], said, limits)
    return with_repeats(found, repeats_of(labels, known, limits.contradiction), limits)


def examine(energy: Array, target: Array, said: Prediction, limits: Limits = HONEST) -> Suspicion:
    """May these labels be learned from? The same input gives the same answer.

    energy (n_energy,) eV; target (n, n_energy); said: the champion's prediction of them
    """
    signs = signs_of(energy, target, said)
    odd = signs.left > limits.odd * np.maximum(1.0, said.novelty)
    many = bool(odd.mean() > limits.odd_share)
    reasons = [
        *_scale(signs, limits),
        *_shift(signs, limits, len(target)),
        *_errors(signs, limits, odd, many=many),
    ]
    aside = () if reasons else tuple(np.flatnonzero(odd).tolist())
    return Suspicion(
        decision=_decision(reasons, float(np.median(said.novelty)), limits),
        reasons=(*reasons, *_aside(aside, signs, limits)),
        set_aside=aside,
        n_labels=len(target),
    )


def _decision(reasons: list[Reason], novelty: float, limits: Limits) -> Decision:
    if not reasons:
        return "accept"
    known_ground = novelty <= limits.novelty and any(r.kind != UNMATCHED for r in reasons)
    return "refuse" if known_ground or any(r.kind in HARD for r in reasons) else "quarantine"


def _scale(signs: Signs, limits: Limits) -> Iterator[Reason]:
    if not 1.0 / limits.scale <= signs.scale <= limits.scale:
        yield Reason(
            kind="scale",
            words=f"the intensities are {signs.scale:.3g} times those that are expected: another "
            "unit, or another normalisation",
            figure=signs.scale,
            limit=limits.scale,
        )


def _shift(signs: Signs, limits: Limits, n: int) -> Iterator[Reason]:
    limit = limits.shift_ev if n >= limits.least_labels else 2.0 * limits.shift_ev
    if abs(signs.shift_ev) >= limit:
        yield Reason(
            kind="shift",
            words=f"the spectra lie {signs.shift_ev:+.2f} eV from where they are expected: another "
            "energy scale",
            figure=signs.shift_ev,
            limit=limit,
        )


def _errors(signs: Signs, limits: Limits, odd: Mask, *, many: bool) -> Iterator[Reason]:
    """What is left once a common factor and a common shift are taken out."""
    typical = float(np.median(signs.left))
    if typical <= limits.error and not many:
        yield from _unmatched(signs, limits)
        return
    who = odd if many else np.ones_like(odd)
    if many:
        size, limit = float(odd.mean()), limits.odd_share
        how = f"{int(odd.sum())} of {len(odd)} labels are wrong by more than {limits.odd:g} times "
    else:
        size, limit = typical, limits.error
        how = f"the errors of the batch are {typical:.1f} times "
    kind, why = _likeness(signs, limits, who)
    yield Reason(kind=kind, words=f"{how}their error bars: {why}", figure=size, limit=limit)


def _unmatched(signs: Signs, limits: Limits) -> Iterator[Reason]:
    """Errors that wide error bars allow, but of spectra that are not those of their structures."""
    strange = float(signs.misplaced.mean())
    enough = len(signs.misplaced) >= limits.least_labels and signs.alike < limits.alike
    if enough and strange > limits.misplaced:
        yield Reason(
            kind=UNMATCHED,
            words=f"{100.0 * strange:.0f} % of the other structures fit a spectrum better than its "
            "own (50 % if shuffled): shuffled, or nothing that the champion knows about",
            figure=strange,
            limit=limits.misplaced,
        )


def _likeness(signs: Signs, limits: Limits, who: Mask) -> tuple[str, str]:
    """What errors look like that are too large; of a handful of labels nobody can say."""
    n = int(who.sum())
    if n < limits.handful:
        return "errors", "too large for labels of a known chemistry"
    if (common := signs.pattern(who)) > limits.pattern + 0.5 / np.sqrt(n):
        return "theory", (
            f"{100.0 * common:.0f} % of the errors are the same for all of them: another theory, "
            "other settings of it, another unit or another edge"
        )
    if (strange := float(signs.misplaced[who].mean())) > limits.misplaced:
        return "shuffled", (
            f"{100.0 * strange:.0f} % of the other structures fit such a spectrum better than its "
            "own (50 % if shuffled): spectra and structures do not belong together"
        )
    return "errors", "too large for labels of a known chemistry"


def _aside(aside: tuple[int, ...], signs: Signs, limits: Limits) -> Iterator[Reason]:
    if aside:
        worst = max(float(signs.left[i]) for i in aside)
        some = "1 label is" if len(aside) == 1 else f"{len(aside)} labels are"
        yield Reason(
            kind="odd",
            words=f"{some} set aside, wrong by up to {worst:.1f} times the error bars",
            figure=worst,
            limit=limits.odd,
        )
