"""From frames that stream by to requests: judged by the champion, pooled, chosen, kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from model_store.bundle import Bundle
from model_store.runtime import Session
from model_store.store import Store
from trainer.known import Known
from trainer.label_archive import LabelArchive
from trainer.label_request import LabelRequest, RequestFolder, request_of
from trainer.learnable import take_snapshot
from trainer.pool import Candidate, Pool
from trainer.requests import Ground, RequestRules, allowance, choose, uncertainty_of, worth_of
from xas.descriptor import Descriptor
from xas.errors import BadLabels, Reject
from xas.structure import Sites, StructureBatch

BLOCK = 1024  # sites that are predicted at once


class Asker:
    """Looks at frames and asks for the labels of the best of all that it saw.

    Memory does not grow with the frames, only with labels and requests, of which it keeps the
    features. The champion, labels and requests are those of the last ``refresh``. UnknownModel,
    and BadLabels where the archive holds no labels that the champion could have learned.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        archive: Path,
        rules: RequestRules,
        *,
        theory: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules, self._clock = rules, clock
        self._store, self._name = store, name
        self._archive, self._requests = LabelArchive(archive), RequestFolder(archive)
        if not len(self._archive):
            raise BadLabels(
                f"{archive}: holds no labels, and what is far from none cannot be told: push those "
                "that the model was trained on: edgestream label push"
            )
        self._kind = take_snapshot(self._archive, store, name, theory)
        self.pool = Pool()
        self._crown(store.get(name))

    @property
    def champion(self) -> str:
        """Who judges."""
        return self._champion.reference

    @property
    def element(self) -> str:
        """Whose atoms are looked at."""
        return self._champion.manifest.element

    def refresh(self) -> None:
        """Judge by the champion, labels and requests that are there now, also what was pooled."""
        if self._store.resolve(self._name).reference != self.champion:
            self._crown(self._store.get(self._name))
        elif self._known.refresh():
            self._settle(self.pool.kept)

    def _crown(self, champion: Bundle) -> None:
        output = champion.manifest.output
        if output.errors == output.novelty == "none":
            raise Reject(
                f"{champion.reference} states neither error bars nor novelty: it cannot ask"
            )
        self._champion, self._session = champion, Session(champion)
        self._descriptor = Descriptor(champion.manifest.descriptor)
        self._known = Known(self._archive, self._kind, self._requests, self._descriptor)
        self._settle([c for old in self.pool.kept for c in self._judged_again(old)])

    def _settle(self, candidates: Sequence[Candidate]) -> None:
        self._ground = Ground.of(self._known.labels, self._known.requests, self.rules)
        self.pool.settle(candidates, self._ground)

    def look(
        self, frames: StructureBatch, sites: Sites, names: Sequence[str], mass: float = 1.0
    ) -> None:
        """Take sites into account, each for ``mass`` that are like it; names: of the frames."""
        for first in range(0, len(sites.atom), BLOCK):
            part = slice(first, first + BLOCK)
            some = Sites(sites.structure[part], sites.atom[part])
            self.pool.add(self._judged(frames, some, names, mass), self._ground)

    def _judged(
        self, frames: StructureBatch, sites: Sites, names: Sequence[str], mass: float
    ) -> list[Candidate]:
        """Those that the champion knows too little of."""
        features = self._descriptor.featurise(frames, sites).values.astype(np.float32)
        mean, std, novelty = self._session.run(features)
        uncertainty = uncertainty_of(mean, std)
        worth = worth_of(novelty.astype(np.float64), uncertainty, self.rules)
        return [
            Candidate(
                structure=frames.take(np.array([s])),  # a copy: the frames are not kept for it
                atom=int(sites.atom[i]),
                name=names[s],
                features=features[i].copy(),
                novelty=float(novelty[i]),
                uncertainty=float(uncertainty[i]),
                mass=mass,
            )
            for i in np.flatnonzero(worth >= 1.0)
            for s in (int(sites.structure[i]),)
        ]

    def _judged_again(self, old: Candidate) -> list[Candidate]:
        site = Sites(np.zeros(1, dtype=np.int64), np.array([old.atom]))
        return self._judged(old.structure, site, [old.name], old.mass)

    def ask(self, most: int | None = None) -> list[LabelRequest]:
        """Ask for the best, at most so many, and never more in an hour than the rules allow.

        Best first; none that is near a label, a request, whoever made it, or another.
        """
        now = self._clock()
        self._known.refresh()
        left = allowance(self._known.t_asked, now, self.rules.per_hour)
        self._settle(self.pool.kept)
        kept = self.pool.kept
        chosen = choose(
            self.pool.points,
            np.array([c.mass for c in kept]),
            self._ground,
            left if most is None else min(left, most),
        )
        made = [self._request(kept[int(i)], now, rank) for rank, i in enumerate(chosen)]
        found = [request for request in made if self._requests.add(request)]
        self.refresh()
        return found

    def _request(self, c: Candidate, now: float, rank: int) -> LabelRequest:
        return request_of(
            c.structure,
            c.atom,
            self._champion.manifest.edge,
            c.name,
            novelty=c.novelty,
            uncertainty=c.uncertainty,
            t_asked=now,
            rank=rank,
        )
