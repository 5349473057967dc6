"""From frames to requests: predicted by the champion, chosen, kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from trainer.archive import Labels
from trainer.label_request import LabelRequest, RequestFolder, request_of
from trainer.prediction import predict_labels
from trainer.requests import RequestRules, allowance, choose, uncertainty_of
from xas.descriptor import Descriptor
from xas.structure import Sites, StructureBatch

Array = NDArray[np.float64]


def ask(
    frames: StructureBatch,
    sites: Sites,
    names: Sequence[str],
    *,
    champion: Bundle,
    labels: Labels,
    requests: RequestFolder,
    rules: RequestRules,
    clock: Callable[[], float] = time.time,
) -> list[LabelRequest]:
    """Ask for the labels of some sites, best first; those that were asked for now.

    labels: of the archive. What waits for its answer, or has failed, is not asked for again; nor
    more than the rules allow in an hour, whoever asked.
    """
    known = requests.all()
    now = clock()
    most = allowance(np.array([r.t_asked for r in known]), now, rules.per_hour)
    descriptor, energy = (
        Descriptor(champion.manifest.descriptor),
        champion.manifest.output.energy_ev,
    )
    said = predict_labels(champion, frames, sites, np.array(energy))
    uncertain = uncertainty_of(said.mean, said.std)
    chosen = choose(
        descriptor.featurise(frames, sites).values,
        said.novelty,
        uncertain,
        known=descriptor.featurise(labels.batch, labels.sites).values,
        asked=_features(descriptor, known) if known else None,
        most=most,
        rules=rules,
    )
    made = [
        request_of(
            frames[int(s) : int(s) + 1],
            int(sites.atom[i]),
            champion.manifest.edge,
            names[int(s)],
            novelty=float(said.novelty[i]),
            uncertainty=float(uncertain[i]),
            t_asked=now,
            rank=rank,
        )
        for rank, i in enumerate(chosen)
        for s in (sites.structure[i],)
    ]
    return [request for request in made if requests.add(request)]


def _features(descriptor: Descriptor, known: Sequence[LabelRequest]) -> Array:
    batch = StructureBatch.concatenate([request.structure() for request in known])
    sites = Sites(np.arange(len(known)), np.zeros(len(known), dtype=np.int64))
    return descriptor.featurise(batch, sites).values
