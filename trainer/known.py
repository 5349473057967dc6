"""What is labelled or asked for, in features; kept up with an archive to which others add."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.label_archive import LabelArchive
from trainer.label_request import RequestFolder
from trainer.snapshot import Snapshot
from xas.descriptor import Descriptor
from xas.structure import Sites, StructureBatch

Array = NDArray[np.float64]


class Known:
    """Features of the labels of one kind, and of all requests for such.

    labels (n_labels, n_features), requests (n_requests, n_features); ``t_asked`` (n_requests,), s
    since 1970. Each is computed once.
    """

    def __init__(
        self, archive: LabelArchive, kind: Snapshot, folder: RequestFolder, descriptor: Descriptor
    ) -> None:
        self._archive, self._kind, self._folder = archive, kind, folder
        self._descriptor = descriptor
        self.labels = self.requests = np.zeros((0, len(descriptor.names)))
        self.t_asked: Array = np.zeros(0)
        self._n_archived = 0
        self._seen: set[str] = set()
        self.refresh()

    def refresh(self) -> bool:
        """See what others added; whether there was anything."""
        self._archive.refresh()
        return any([self._new_labels(), self._new_requests()])

    def _new_labels(self) -> bool:
        end = len(self._archive)
        if end == self._n_archived:
            return False
        kind = (self._kind.element, self._kind.edge, self._kind.theory)
        found = [
            label.structure()
            for label in self._archive.labels([(self._n_archived, end)])
            if (label.element, label.edge, label.theory) == kind
        ]
        self.labels = np.vstack([self.labels, self._features(found)])
        self._n_archived = end
        return bool(found)

    def _new_requests(self) -> bool:
        found = self._folder.others(self._seen)
        self._seen |= {request.id for request in found}
        self.t_asked = np.append(self.t_asked, [request.t_asked for request in found])
        self.requests = np.vstack([self.requests, self._features([r.structure() for r in found])])
        return bool(found)

    def _features(self, structures: Sequence[StructureBatch]) -> Array:
        """Of the first atom of each."""
        sites = Sites(np.arange(len(structures)), np.zeros(len(structures), dtype=np.int64))
        return self._descriptor.featurise(StructureBatch.concatenate(structures), sites).values
