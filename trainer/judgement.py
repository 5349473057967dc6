"""A judgement: two models, the labels that they were compared on, and the verdict; as a record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model_store.bundle import Bundle
from trainer.archive import Labels
from trainer.gate import judge
from trainer.prediction import Prediction, predict_labels
from trainer.subgroups import subgroups
from trainer.verdict import RULES, Rules, Verdict
from xas.errors import BadLabels
from xas.measures import peak_agreement, percentage_error, summarise
from xas.structure import Sites

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Labels that neither model was trained on, with what both say of them.

    energy (n_energy,) eV; target (n, n_energy); names, groups, weights (n,); newest (n,) the last
    """

    energy: Array
    target: Array
    names: NDArray[np.str_]
    groups: NDArray[np.str_]
    weights: Array
    newest: Mask
    subgroups: dict[str, Mask]
    champion: Prediction
    candidate: Prediction

    def verdict(self, rules: Rules = RULES) -> Verdict:
        """By the rules of the gate."""
        return judge(
            self.target,
            self.champion,
            self.candidate,
            self.groups,
            self.subgroups,
            self.newest,
            rules,
            self.weights,
        )


def answers_of(bundle: Bundle, labels: Labels, chosen: Mask) -> Prediction:
    """What a stored model says of the chosen labels, (n_labels,) bool. Raises BadLabels where it
    predicts another element, or none of these energies."""
    where = np.flatnonzero(chosen)
    sites = Sites(labels.sites.structure[where], labels.sites.atom[where])
    return predict_labels(bundle, labels.batch, sites, labels.energy)


def trial_of(
    labels: Labels,
    chosen: Mask,
    said: tuple[Prediction, Prediction],
    newest: Mask | None = None,
    charge: NDArray[np.int64] | None = None,
) -> Trial:
    """The chosen labels, (n_labels,) bool, with what champion and candidate said of these.

    newest, charge  (n_labels,), where they are known
    """
    where = np.flatnonzero(chosen)
    sites = Sites(labels.sites.structure[where], labels.sites.atom[where])
    late = np.zeros(len(labels), dtype=np.bool_) if newest is None else newest
    return Trial(
        energy=labels.energy,
        target=labels.intensity[where],
        names=labels.names[where],
        groups=labels.groups[where],
        weights=labels.weights[where],
        newest=late[where],
        subgroups=subgroups(
            labels.batch, sites, said[0].novelty, None if charge is None else charge[where]
        ),
        champion=said[0],
        candidate=said[1],
    )


def require_same_edge(champion: Bundle, candidate: Bundle, labels: Labels) -> None:
    """Raise BadLabels where the two cannot be compared on these labels."""
    a, b = champion.manifest, candidate.manifest
    if (a.element, a.edge) != (b.element, b.edge):
        raise BadLabels(
            f"{champion.reference} predicts {a.element} {a.edge}, {candidate.reference} predicts "
            f"{b.element} {b.edge}: they cannot be compared"
        )
    if labels.element != a.element:
        raise BadLabels(
            f"{labels.file}: labels of {labels.element}, but {champion.reference} and "
            f"{candidate.reference} predict {a.element}"
        )


class Quality(Struct, frozen=True, kw_only=True):
    """Of one model on the held-out labels; percent and eV, as in docs/measures.md."""

    median: float
    lower_quartile: float
    upper_quartile: float
    peak_mean_ev: float | None
    hit_rate: float | None


class Party(Struct, frozen=True, kw_only=True):
    """One of the two; ``sha256`` of its network."""

    reference: str
    sha256: str
    trained_on: str
    quality: Quality | None


class Judgement(Struct, frozen=True, kw_only=True):
    """The report, as JSON holds it.

    labels    file and SHA-256 of what was given; ``held_out`` of its ``n_labels`` were used
    how_held_out  how it is known that neither model was trained on them
    """

    format: int = 1
    date: str
    champion: Party
    candidate: Party
    labels: str
    labels_sha256: str
    n_labels: int
    held_out: int
    n_newest: int
    how_held_out: str
    verdict: Verdict


def judgement_of(
    champion: Bundle,
    candidate: Bundle,
    labels: Labels,
    trial: Trial,
    how_held_out: str,
    rules: Rules = RULES,
) -> Judgement:
    """Judge, and write down who was judged on what."""
    return Judgement(
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        champion=_party(champion, trial, trial.champion),
        candidate=_party(candidate, trial, trial.candidate),
        labels=labels.file,
        labels_sha256=labels.sha256,
        n_labels=len(labels),
        held_out=len(trial.target),
        n_newest=int(trial.newest.sum()),
        how_held_out=how_held_out,
        verdict=trial.verdict(rules),
    )


def _party(bundle: Bundle, trial: Trial, said: Prediction) -> Party:
    training = bundle.manifest.training
    told = "unknown" if training is None else f"{training.data.n_labels} of {training.data.file}"
    return Party(
        reference=bundle.reference,
        sha256=bundle.sha256,
        trained_on=told,
        quality=_quality(trial, said)
        if len(trial.target) and np.isfinite(said.mean).all()
        else None,
    )


def _quality(trial: Trial, said: Prediction) -> Quality:
    errors = summarise(percentage_error(said.mean, trial.target))
    peaks = peak_agreement(trial.energy, said.mean, trial.target)
    return Quality(
        median=errors.median,
        lower_quartile=errors.lower_quartile,
        upper_quartile=errors.upper_quartile,
        peak_mean_ev=peaks.mean if np.isfinite(peaks.mean) else None,
        hit_rate=peaks.hit_rate if np.isfinite(peaks.hit_rate) else None,
    )
